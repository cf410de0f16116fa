"""A model paints digits, and tells which digit a picture shows."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from support.answers import refused, well

from odyssey.diagnostics.painting import judge_pictures
from odyssey.studies.trained import load_trained

SIZES = ("--hidden-size", 12, "--epochs", 1, "--updates-per-epoch", 60, "--learning-rate", 0.01)


@pytest.fixture
def painter(odyssey, cwd):
    """A model that has learned to paint in black and white."""
    well(odyssey("train", "gru", "--task", "paint@levels=2", *SIZES, "--out", "run"))
    return cwd


def test_a_trained_model_paints(odyssey, painter):
    command = ("sample", "run", "--pictures", 12, "--to", "sheet")
    called = well(odyssey(*command))
    assert "pictures: sheet/pictures.png\n" in called.out
    with Image.open(painter / "sheet" / "pictures.png") as sheet:
        width, height = sheet.size
    assert width > 2 * height  # ten in a row
    found = well(odyssey(*command, "--json")).json
    assert found["digits"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    pictures = np.array(found["pictures"])
    assert pictures.shape == (12, 8, 8)
    assert set(pictures.ravel()) == {0, 1}
    assert pictures[:, :, 0].mean() < 0.2 < pictures[:, :, 3:5].mean()  # the left edge is empty
    rows = pd.read_csv(painter / "sheet" / "pictures.csv")
    assert rows["levels"][3] == " ".join(map(str, pictures[3].ravel()))
    other = well(odyssey(*command, "--json", "--seed", 2)).json
    assert other["pictures"] != found["pictures"]
    assert f"test: {found['test_nats_per_picture']:.1f} nats a picture" in called.out


def test_its_verdicts_are_those_of_one_picture_at_a_time(painter):
    trained = load_trained("run")
    model, task = trained.model, trained.task
    judged = judge_pictures(model, task, "valid")
    assert judged.nats_NL.shape == (180, 10)
    for n in (0, 77, 179):
        example = task.examples("valid")[n]
        assert judged.label_N[n] == example.inputs_T[0] - 2
        for digit in (0, 9, judged.label_N[n]):
            inputs = [2 + digit, *example.inputs_T[1:]]
            with torch.no_grad():
                logits, _ = model(torch.tensor(inputs).view(1, -1, 1), None)
            loss = torch.nn.functional.cross_entropy(
                logits[0, :, 0], torch.tensor(example.targets_T), reduction="sum"
            )
            assert judged.nats_NL[n, digit] == pytest.approx(loss.item(), abs=1e-3)
    own = judged.nats_NL[range(180), judged.label_N]
    assert judged.nats == pytest.approx(own.mean())
    assert judged.accuracy == np.mean((own[:, None] <= judged.nats_NL).all(1))


def test_what_does_not_paint_is_refused(odyssey, painter):
    (painter / "a.txt").write_text("abcde" * 1000)
    well(odyssey("train", "gru", "--task", "text:a.txt", *SIZES, "--out", "writer"))
    paints = ("sample", "run", "--pictures", 4)
    for command, why in (
        (("sample", "writer", "--pictures", 4), "does not paint; leave out --pictures"),
        ((*paints, "--prime", "3"), "leave out --prime"),
        (("sample", "run", "--pictures", 0), "--pictures must be 1 to 1,000, got 0"),
        (("sample", "run"), "writes no text"),
        ((*paints, "--to", "a.txt"), "cannot write to a.txt"),
    ):
        assert why in refused(odyssey(*command))
