"""Pictures with captions: a folder of them, icons, and how pictures are made to fit."""

import hashlib
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from odyssey.errors import TaskError
from odyssey.studies.absolute import absolute_task
from odyssey.tasks import get_task, icons
from odyssey.tasks.captions import split_pictures
from odyssey.tasks.pictures import read_picture
from odyssey.tasks.recorded import MOVED, recorded_task, with_moved

PARTS = (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10))


def write_folder(path, count=30):
    path.mkdir()
    rows = ["file,caption"]
    rng = np.random.default_rng(0)
    for k in range(count):
        pixels = rng.integers(256, size=(6, 9), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{k}.png")
        rows.append(f'{k}.png,"no {k % 7}, é"')
    (path / "captions.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "some")


def test_a_folder_is_a_task(folder):
    task = get_task(f"captions:{folder}@height=6,width=9,look=attention,split=60/20/20")
    sizes = {s: len(task.examples(s)) for s in ("train", "valid", "test")}
    assert sizes == {"train": 18, "valid": 6, "test": 6}
    assert set(task.symbols) == set("no 0123456,é\n")
    assert task.start == task.end == len(task.symbols) - 1
    every = [e for split in sizes for e in task.examples(split)]
    assert sorted(task.decode(e.targets_T[:-1]) for e in every) == sorted(
        f"no {k % 7}, é" for k in range(30)
    )
    for e in every:
        assert e.inputs_T[0] == e.targets_T[-1] == task.end
        assert (e.inputs_T[1:] == e.targets_T[:-1]).all()
        assert e.given.shape == (6, 9, 1)
    stored = np.asarray(Image.open(folder / "0.png"), dtype=np.float32) / 255
    assert any(np.allclose(e.given[..., 0], stored) for e in every)
    record = task.describe()
    assert record["unit"] == "characters"
    assert record["train_pictures"] == 18


def test_a_changed_picture_is_noticed(folder):
    spec = f"captions:{folder}"
    record = get_task(spec).describe()
    assert recorded_task(spec, record).describe() == record
    Image.new("L", (9, 6), 77).save(folder / "3.png")
    with pytest.raises(TaskError, match="have changed since the run began"):
        recorded_task(spec, record)


def test_a_moved_folder_is_found(folder, tmp_path):
    spec = f"captions:{folder}@look=every"
    task = get_task(spec)
    record = task.describe()
    moved, other = tmp_path / "moved", write_folder(tmp_path / "other", 20)
    folder.rename(moved)
    with pytest.raises(TaskError, match=r"cannot read .*; --text PATH names a moved folder"):
        recorded_task(spec, record)
    with pytest.raises(TaskError, match="does not hold the pictures and captions of captions:"):
        recorded_task(spec, record, text=str(other))
    with pytest.raises(TaskError, match="does not hold the pictures and captions of captions:"):
        with_moved({spec: record}, [str(other)])
    records = with_moved({spec: record, "xml": get_task("xml").describe()}, [str(moved)])
    assert MOVED not in records["xml"]
    for again in (
        recorded_task(spec, record, text=str(moved)),
        recorded_task(spec, records[spec]),
    ):
        assert again.name == spec
        assert again.describe() == record
        examples = zip(again.examples("test"), task.examples("test"), strict=True)
        assert all((a.given == b.given).all() for a, b in examples)


def test_icons_lie_in_no_folder():
    record = get_task("icons").describe()
    with pytest.raises(TaskError, match="icons reads no text: leave out --text"):
        recorded_task("icons", record, text="x")


def test_a_study_keeps_the_absolute_path(folder):
    spec = absolute_task("captions:some@look=every", folder.parent)
    assert spec == f"captions:{folder}@look=every"
    assert get_task(spec).name == spec


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (None, "cannot read"),
        (b"file,caption\n" + b"0.png,a\n" * 3, "has 3 captions; give at least 10"),
        (b"file,name\n" + b"0.png,a\n" * 30, "has no column caption"),
        (b"file,caption\n" + b"0.png,\n" * 30, "row 1: expected a file and a caption"),
        (b"file,caption\n" + b"0.png,\xff\n" * 30, "is not UTF-8"),
        (b"file,caption\n" + b'0.png,"a\n' * 30, "is no CSV"),
        (b"file,caption\n" + b"no.png,a\n" * 30, "cannot read .*no.png"),
        (b"file,caption\n" + b"captions.csv,a\n" * 30, "no picture that Pillow knows"),
        (b"file,caption\n" + b"0.png,a\n" * 30, "too few for valid data"),
    ],
)
def test_a_table_that_makes_no_sense(folder, table, words):
    path = folder / "captions.csv"
    path.unlink() if table is None else path.write_bytes(table)
    with pytest.raises(TaskError, match=words):
        get_task(f"captions:{folder}")


def test_a_spec_without_a_path():
    with pytest.raises(TaskError, match="names no file; expected captions:PATH"):
        get_task("captions:")


def test_same_pictures_are_in_one_part():
    rng = np.random.default_rng(1)
    kinds = rng.random((300, 2, 2, 1)).astype(np.float32)
    pictures = list(kinds) + [kinds[k] for k in rng.integers(300, size=100)]
    divided = split_pictures(pictures, PARTS)
    assert {s: len(m) for s, m in divided.items()} == {"train": 320, "valid": 40, "test": 40}
    assert sorted(k for members in divided.values() for k in members) == list(range(400))
    shown = {s: {pictures[k].tobytes() for k in m} for s, m in divided.items()}
    assert not shown["train"] & shown["valid"]
    assert not shown["train"] & shown["test"]
    assert not shown["valid"] & shown["test"]
    assert divided == split_pictures(pictures, PARTS)


def test_pictures_are_fitted(tmp_path):
    def fitted(image, height, width, **options):
        image.save(tmp_path / "x.png")
        return read_picture(tmp_path / "x.png", height, width, **options)[..., 0]

    wide = Image.new("L", (40, 10), 255)
    assert fitted(wide, 10, 20).tolist() == np.ones((10, 20)).tolist()
    half = Image.new("L", (40, 20), 0)
    half.paste(255, (10, 5, 30, 15))
    small = fitted(half, 10, 10)
    assert small[:2].max() == small[-2:].max() == 0  # the border is black, and so what is left over
    assert small[4, 3] == small[4, 6] == 1
    assert fitted(half, 20, 40, dark=True).tolist() == fitted(half, 20, 40).tolist()
    bright = Image.eval(half, lambda v: 255 - v)
    assert np.allclose(fitted(bright, 20, 40, dark=True), fitted(half, 20, 40))
    assert np.allclose(fitted(bright, 20, 40), 1 - fitted(half, 20, 40))
    clear = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    clear.putpixel((1, 2), (255, 255, 255, 255))
    shown = fitted(clear, 4, 4)
    assert shown[2, 1] == 1
    assert shown.sum() == 1


def test_icons_without_their_font_say_what_to_install(monkeypatch, tmp_path):
    icons.draw_icons.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TaskError, match=r"pip install 'odyssey-cells\[icons\]'"):
        get_task("icons")


def test_another_font_is_refused(monkeypatch, tmp_path):
    icons.draw_icons.cache_clear()
    package = tmp_path / "qtawesome"
    (package / "fonts").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('it needs a window system')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(TaskError, match="this qtawesome has no materialdesignicons6"):
        get_task("icons")
    (package / "fonts" / icons.CHARMAP).write_text("{}")
    with pytest.raises(TaskError, match=r"has another materialdesignicons6.* than version 1\.4\.2"):
        get_task("icons")


def test_icons():
    pytest.importorskip("PIL")
    try:
        task = get_task("icons")
    except TaskError as error:
        pytest.skip(str(error))
    sizes = {s: len(task.examples(s)) for s in ("train", "valid", "test")}
    assert sizes == {"train": 6261, "valid": 553, "test": 553}
    assert len(task.symbols) == 38
    names = [task.decode(e.targets_T[:-1]) for s in sizes for e in task.examples(s)]
    assert "calendar minus outline" in names
    assert np.mean([len(n) for n in names]) == pytest.approx(15.155, abs=1e-3)
    shown = {
        s: {hashlib.sha256(e.given.tobytes()).digest() for e in task.examples(s)} for s in sizes
    }
    assert sum(map(len, shown.values())) == len(set.union(*shown.values())) == 7343
    assert all(0.5 < e.given.max() <= 1 for e in task.examples("test"))
