"""A run goes on where its texts lie elsewhere, as on another machine, to the same numbers."""

import random
import shutil

import pytest
from support.same_runs import assert_same_study
from test_engine import resume, run, tiny

import odyssey
from odyssey.errors import ConfigError, StoreError, TaskError
from odyssey.jobs.train import TrainOptions, resume_training, train_cell
from odyssey.specs import get_cell
from odyssey.storage.store import RunStore
from odyssey.studies.engine import prepare, reopen
from odyssey.studies.estimate import timed_sample
from odyssey.studies.trained import load_trained
from odyssey.tasks import get_task
from odyssey.tasks.recorded import MOVED, recorded_task, with_moved

PIECES = {"one.txt": ("the cat ", "sat on ", "a mat.\n"), "two.txt": ("wo ", "ist ", "er?\n")}
SHORT = {"epochs": 1, "updates_per_epoch": 3, "valid_characters": 200, "test_characters": 200}


@pytest.fixture
def here(tmp_path):
    """A folder with two texts."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name, pieces in PIECES.items():
        rng = random.Random(name)
        (folder / name).write_text("".join(rng.choice(pieces) for _ in range(3000)))
    return folder


@pytest.fixture
def there(here, tmp_path):
    """Where they will lie; `here` is empty after `here.rename(there)`."""
    return tmp_path / "there"


def specs(folder):
    return [f"text:{folder / name}" for name in PIECES]


def texts(folder):
    return [str(folder / name) for name in PIECES]


def test_a_study_goes_on_to_the_numbers_that_it_would_have_had(tmp_path, here, there):
    study = tiny(tasks=specs(here), members=2, training=SHORT)
    run(study, tmp_path / "run")
    run(tiny(tasks=specs(here), members=3, training=SHORT), tmp_path / "stayed")
    here.rename(there)
    with pytest.raises(ConfigError, match=r"no file .*one\.txt.*; text=PATH names a moved text"):
        odyssey.extend(tmp_path / "run", draws=3, progress=False)
    with pytest.raises(ConfigError, match=r"no file .*two\.txt"):
        odyssey.extend(tmp_path / "run", draws=3, text=texts(there)[:1], progress=False)
    assert not any(MOVED in r for r in RunStore.open(tmp_path / "run").run["tasks"].values())
    odyssey.extend(tmp_path / "run", draws=3, text=texts(there)[::-1], progress=False)
    assert_same_study(tmp_path / "run", tmp_path / "stayed")
    odyssey.extend(tmp_path / "run", draws=4, progress=False)  # it has kept where they are
    trained = load_trained(tmp_path / "run", cell="lstm", task=specs(here)[1])
    assert trained.task.indices("test").size
    there.rename(here)  # and both places count
    reopen(tmp_path / "run")
    odyssey.extend(tmp_path / "stayed", draws=4, progress=False)
    assert_same_study(tmp_path / "run", tmp_path / "stayed")


def test_a_study_of_which_nothing_is_run_is_timed_with_its_moved_texts(tmp_path, here, there):
    many = {**SHORT, "updates_per_epoch": 4000}
    prepare(tiny(tasks=specs(here), members=1, training=many), tmp_path / "run")
    here.rename(there)
    assert timed_sample(reopen(tmp_path / "run", texts=texts(there)))


def test_what_is_no_text_of_the_run_is_refused_and_nothing_is_written(tmp_path, here):
    run(tiny(tasks=[*specs(here), "arithmetic"], members=1, training=SHORT), tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    other = tmp_path / "other.txt"
    other.write_text("something else " * 99)
    for wrong, words in (
        (str(other), r"is not the text of .*one\.txt: its sha256 is"),
        (str(tmp_path / "nowhere.txt"), "no file"),
        (str(tmp_path), "no task of the run reads a folder of pictures"),
    ):
        with pytest.raises(TaskError, match=words):
            reopen(tmp_path / "run", texts=[*texts(here), wrong])
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    run(tiny(tasks=["arithmetic"], members=1, training=SHORT), tmp_path / "generated")
    with pytest.raises(TaskError, match="no task of the run reads a text"):
        reopen(tmp_path / "generated", texts=texts(here))


def test_a_run_that_another_process_runs_is_left_alone(tmp_path, here):
    run(tiny(tasks=specs(here), members=1, training=SHORT), tmp_path / "run")
    with RunStore.open(tmp_path / "run").lock(), pytest.raises(StoreError, match="another process"):
        reopen(tmp_path / "run", texts=texts(here))


def test_a_training_gets_more_epochs_where_text_and_cell_are_gone(tmp_path, here, there):
    cell = tmp_path / "mine.cell"
    cell.write_text(get_cell("gru").text.replace("cell gru", "cell mine"))
    options = {**SHORT, "hidden_size": 5, "sample": 0}
    for name in ("run", "stayed"):
        out = tmp_path / name
        train_cell(str(cell), specs(here)[0], TrainOptions(**options, out=str(out)))
    more = TrainOptions(epochs=3, sample=0)
    resume_training(str(tmp_path / "stayed"), more)
    here.rename(there)
    cell.unlink()
    with pytest.raises(ConfigError, match="--text PATH names a moved text"):
        resume_training(str(tmp_path / "run"), more)
    resume_training(str(tmp_path / "run"), more, texts=texts(there)[:1])
    assert_same_study(tmp_path / "run", tmp_path / "stayed")
    odyssey.Run(tmp_path / "run").resume(epochs=4, progress=False)


def test_a_corpus_may_lie_elsewhere_too(tmp_path, own_corpora):
    """As on a machine without a network, or where Python's own sources are another version's."""
    record = get_task("tinyshakespeare").describe()
    copy = tmp_path / "copy.txt"
    shutil.copy(own_corpora / "tinyshakespeare" / "input.txt", copy)
    (own_corpora / "tinyshakespeare" / "input.txt").write_text("another text " * 99)
    moved = with_moved({"tinyshakespeare": record}, [str(copy)])["tinyshakespeare"]
    task = recorded_task("tinyshakespeare", moved)
    assert task.describe() == moved
    assert {k: v for k, v in moved.items() if k != MOVED} == record


def test_resume_goes_on(tmp_path, here, there):
    run(tiny(tasks=specs(here), members=1, training=SHORT), tmp_path / "run")
    next((tmp_path / "run" / "results").glob("*")).unlink()
    here.rename(there)
    with pytest.raises(ConfigError, match="--text PATH"):
        resume(tmp_path / "run")
    odyssey.resume(tmp_path / "run", text=texts(there), progress=False)
    assert len(odyssey.Run(tmp_path / "run").results) == 6
