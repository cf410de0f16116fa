"""`odyssey caption` reads pictures of a small model, writes its page, and refuses in one line."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from PIL import Image
from support.answers import refused, well
from support.departing import in_onnxruntime

from odyssey.studies.trained import load_trained

TRAIN = ("train", "gru", "--hidden-size", 8, "--updates-per-epoch", 2, "--epochs", 1)
SIZES = ("--batch-size", 4, "--set", "valid_characters=60", "--set", "test_characters=60")


@pytest.fixture
def folder(cwd):
    """Twenty pictures, dark or bright."""
    (cwd / "some").mkdir()
    rng = np.random.default_rng(0)
    rows = ["file,caption"]
    for k in range(20):
        pixels = rng.integers(100, size=(8, 12), dtype=np.uint8) + 150 * (k % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(cwd / f"some/{k}.png")
        rows.append(f"{k}.png,{('dark', 'so bright')[k % 2]}")
    (cwd / "some/captions.csv").write_text("\n".join(rows), "utf-8")
    return cwd


TASK = "captions:some@height=8,width=12,split=60/20/20"


def test_it_reads_with_attention_and_shows_where_it_looked(odyssey, folder):
    trained = well(odyssey(*TRAIN, *SIZES, "--task", "house-numbers@digits=2", "--out", "run"))
    assert "with another sequence's condition" in trained.out
    assert "with the mean of all" in trained.out
    called = well(odyssey("caption", "run", "--count", 3, "--beam", 2))
    for words in (
        "read wholly right: ",
        "own picture ",
        "another's ",
        "attention moves to the right: at ",
        "within step and length",
    ):
        assert words in called.out
    out = folder / "run/pictures"
    assert (out / "attention.png").stat().st_size > 3000
    assert (out / "readings.png").stat().st_size > 1000
    page = (out / "pictures.html").read_text("utf-8")
    assert page.count('class="reading ') == 3
    assert "looked at for" in page
    assert "http" not in page.replace("data:image", "").split("base64,")[0]
    again = well(odyssey("caption", "run", "--count", 3, "--out", "other", "--json")).json
    assert again["scores"]["pictures"] == 1000
    assert set(again["scores"]["looks"]) == {"rightward", "correlation", "within", "off"}
    assert len(again["readings"]) == 3
    row = json.loads(json.dumps(again["scores"]))
    assert all(row[name] > 0 for name in ("nats", "shuffled_nats", "blank_nats"))
    leaves(odyssey, folder)


def leaves(odyssey, folder):
    """The model of a run, in torch alone and in ONNX, reads pictures as it does here."""
    for form in ("torch", "onnx"):
        well(odyssey("export", "run", "--to", form, "-o", "found"))
    spec = importlib.util.spec_from_file_location("gru", folder / "found/gru.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    trained = load_trained("run")
    assert "".join(trained.task.symbols) == module.SYMBOLS
    options = {"batch_size": 4, "unroll": 10, "characters": 60}
    batch = next(iter(trained.task.held_out("test", **options)))
    x, given = torch.as_tensor(batch.inputs_TB), torch.as_tensor(batch.given_B)
    with torch.no_grad():
        ours, _ = trained.model(x[None], None, trained.model.encode(given[None]))
        theirs, _ = module.load()(x, given)
    torch.testing.assert_close(theirs, ours[0], rtol=0, atol=1e-6)
    session = in_onnxruntime((folder / "found/gru.onnx").read_bytes())
    graph, *_ = session.run(None, {"input": x.numpy(), "given": given.numpy()})
    np.testing.assert_allclose(graph, ours[0], rtol=0, atol=4e-6)


def test_it_writes_captions_and_reads_files(odyssey, folder):
    well(odyssey(*TRAIN, *SIZES, "--task", TASK, "--out", "run"))
    called = well(odyssey("caption", "run", "--beam", 1))
    assert "F1 of words: " in called.out
    assert "against another picture's caption" in called.out
    assert "attention" not in called.out
    pictures = ("some/0.png", "some/1.png")
    found = well(odyssey("caption", "run", *pictures, "--out", "mine", "--json")).json
    assert found["scores"] is None
    assert [r["picture"] for r in found["readings"]] == ["0.png", "1.png"]
    assert [r["truth"] for r in found["readings"]] == [None, None]
    assert "1.png" in (folder / "mine/pictures.html").read_text("utf-8")


def test_refusals(odyssey, folder):
    well(odyssey(*TRAIN, *SIZES, "--task", "xml", "--sample", 0, "--out", "xml"))
    assert "read no pictures" in refused(odyssey("caption", "xml"))
    assert "--beam must be at least 1" in refused(odyssey("caption", "xml", "--beam", 0))
    well(odyssey(*TRAIN, *SIZES, "--task", TASK, "--out", "run"))
    assert "cannot read 'no.png'" in refused(odyssey("caption", "run", "no.png"))
    assert "no picture that Pillow knows" in refused(odyssey("caption", "run", "some/captions.csv"))
