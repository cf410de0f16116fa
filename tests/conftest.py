"""What all tests share: quick builds of generated code, no clock in a property test, corpora."""

import dataclasses
import gc
import hashlib
import os
import random
import shutil

import hypothesis
import pytest

LONG = ("compiler", "transforms", "report", "cli", "jobs")
"""Folders whose files take tens of seconds each, the longest first."""

hypothesis.settings.register_profile("odyssey", deadline=None)
hypothesis.settings.load_profile("odyssey")

# tests start processes by the hundred, each of which would compile the package anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# before numpy is loaded: a test takes one core, and threads would burn the others by waiting
os.environ.setdefault("OMP_NUM_THREADS", "1")

# workers of pytest-xdist inherit what is set below, so what was there before is kept beside it
SHIPPED = os.environ.setdefault("CC_BEFORE_TESTS", os.environ.get("CC", ""))
COMPILER = SHIPPED or next(filter(shutil.which, ("cc", "gcc", "clang")), "")
if COMPILER:
    # What generated code computes is judged without the optimiser, which takes four fifths of the
    # time of a build; workers and commands that tests start inherit it. Tests that ask for
    # `shipped` judge what users run.
    os.environ["CC"] = f"{COMPILER} -O0"

# A test can kill a process, but not cut the power: to wait for the disk shows nothing. What is
# asked of it, and when, tests of files say.
os.fsync = lambda descriptor: None


@pytest.fixture
def shipped(monkeypatch):
    """Builds with the flags that users have."""
    if SHIPPED:
        monkeypatch.setenv("CC", SHIPPED)
    else:
        monkeypatch.delenv("CC", raising=False)
    _forget_code()
    yield
    _forget_code()


def _forget_code():
    """Lets everything be built anew: what is optimised rounds otherwise than what is not."""
    from odyssey.compiler import layers
    from odyssey.compiler.backends.native.call import kernel, products, training_step

    kernel.forget()
    layers._built.cache_clear()
    products.products.cache_clear()
    training_step.built_library.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def small_pictures():
    """Draws few dots, and leaves fonts as they are: a third of the time of a report each."""
    from odyssey.report.page import style

    style.DPI = 30
    style.STYLE["pdf.fonttype"] = 3  # 42 takes each font apart anew for every figure


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A run whose mut1 failed on xml; read only."""
    from support.fake_runs import fake_run

    return fake_run(tmp_path_factory.mktemp("fake") / "run", failed={("xml", "mut1")})


@pytest.fixture(scope="session")
def results(store):
    """Its results, as reports read them."""
    from odyssey.statistics import ranking

    return ranking.with_labels(store.results())


@pytest.fixture(scope="session")
def curves(store):
    """Its learning curves, as reports read them."""
    from odyssey.statistics import ranking

    return ranking.with_labels(store.curves())


def pytest_collection_finish():
    """Lets the garbage collector pass over what is loaded by now, and come less often.

    Modules, cells and test items stay for the session; walking over them again and again took a
    quarter of the time of tests that make many small objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items):
    """Begins with the files that take longest, so that none of them is left for one worker alone
    at the end: those that start clusters, then those of the folders in `LONG`."""
    waits = {item.path for item in items if item.get_closest_marker("ray")}
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(
        key=lambda item: (item.path not in waits, places.get(item.path.parent.name, len(LONG)))
    )


@pytest.fixture(scope="session")
def small_corpora(tmp_path_factory):
    """The folder behind `corpora`, and the rows of what is in it."""
    from support.pieces import pieces

    from odyssey.tasks import download

    folder, rows = tmp_path_factory.mktemp("corpora"), {}
    for number, (name, dataset) in enumerate(download.DATASETS.items()):
        if dataset.file == download.MUSIC_NAME:
            data = pieces(number)
        else:
            words = random.Random(name)
            lines = ("".join(words.choices("abcdefgh é", k=40)) for _ in range(200))
            data = "\n".join(lines).encode()[:5000]
            data = data.decode("utf-8", "ignore").encode().ljust(5000, b"a")  # no half character
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        (folder / name).mkdir()
        (folder / name / dataset.file).write_bytes(data)
        rows[name] = dataclasses.replace(dataset, size=len(data), digest=digest)
    return folder, rows


@pytest.fixture
def corpora(small_corpora, monkeypatch):
    """A data folder where every corpus is present, 5,000 bytes of it, and music; gives it.

    It is the folder of all tests: who changes a file asks for `own_corpora`.
    """
    from odyssey.tasks import download

    folder, rows = small_corpora
    monkeypatch.setenv(download.DATA_VARIABLE, str(folder))
    for name, row in rows.items():
        monkeypatch.setitem(download.DATASETS, name, row)
    return folder


@pytest.fixture
def own_corpora(corpora, tmp_path, monkeypatch):
    """The same in a folder of this test, where nothing was checked yet."""
    from odyssey.tasks import download

    ignored = shutil.ignore_patterns(".*")
    folder = shutil.copytree(corpora, tmp_path / "data", ignore=ignored)
    monkeypatch.setenv(download.DATA_VARIABLE, str(folder))
    return folder
