"""What is broken or hostile gets one line on standard error and exit code 2, and no more.

Soon, too: what a refusal costs is counted in calls, and nothing heavy is imported for it.
"""

import json

import pytest
from support import hostile_cells as hostile
from support.counting import at_most
from support.driving import python

CALLS = 4_000_000  # of a refusal: the text of 500 equations that is read whole needs half of them

GOOD = b'name = "x"\ncells = ["elman"]\ntasks = ["xml"]\n'
RUN = f"__import__('pathlib').Path('{hostile.PWNED}').touch()"
SHELL = f"$(touch {hostile.PWNED}); `touch {hostile.PWNED}`"


def but(field, value):
    """Gives the good study with one line replaced."""
    lines = [line for line in GOOD.splitlines() if not line.startswith(field.encode() + b" ")]
    return b"\n".join([*lines, f"{field} = {value}".encode(), b""])


def plus(line):
    return GOOD + line.encode() + b"\n"


def many(count, start, end=""):
    return start * count + end


STUDIES = [
    # no TOML at all
    ("empty", b""),
    ("white space", b" \n\t\n"),
    ("prose", b"please train an lstm\n"),
    ("JSON", b'{"name": "x"}\n'),
    ("Python", f"import os\n{RUN}\n".encode()),
    ("half a string", b'name = "x\n'),
    ("half a table", b"[training\n"),
    ("half a list", GOOD[:-2]),
    ("not UTF-8", b'name = "\xff\xfe"\n'),
    ("UTF-16", GOOD.decode().encode("utf-16")),
    ("random bytes", bytes(range(256)) * 64),
    ("null bytes", b"\0" * 1000),
    ("control character", b'name = "\x07"\n'),
    ("10 MB", b"# " + b"x" * 10_000_000),
    ("10 MB of newlines", b"\n" * 10_000_000),
    ("10 MB in one line", b'name = "' + b"x" * 10_000_000 + b'"\n'),
    # deep and long
    ("10,000 arrays", plus("x = " + many(10_000, "["))),
    ("closed arrays", plus("x = " + many(10_000, "[") + many(10_000, "]"))),
    ("400 closed arrays", but("cells", many(400, "[") + many(400, "]"))),
    ("10,000 tables", plus("x = " + many(10_000, "{a = "))),
    ("300 closed tables", plus("space = " + many(300, "{a = ", "1") + many(300, "}"))),
    ("a key of 50,000 parts", plus(many(50_000, "a.", "a = 1"))),
    ("a header of 50,000 parts", plus("[" + many(50_000, "a.", "a]"))),
    ("a key of 900 parts", plus(many(900, "training.", "a = 1"))),
    ("a key of 100,000 letters", plus(many(100_000, "a") + " = 1")),
    ("a value of 150,000 letters", but("name", "3 # " + many(150_000, "x"))),
    ("50,000 cells", but("cells", "[" + many(50_000, '"a",') + "]")),
    ("9,000 different cells", but("cells", str([f"no_{k}" for k in range(9_000)]))),
    ("a cell of 100,000 letters", but("cells", f'["{many(100_000, "x")}"]')),
    ("a task of 100,000 letters", but("tasks", f'["{many(100_000, "x")}"]')),
    ("an integer of 10,000 digits", plus("seed = " + many(10_000, "9"))),
    ("an integer of 1,000 digits", plus("space.learning_rate = " + many(1_000, "9"))),
    ("an integer of 70 bits", plus(f"seed = {2**70}")),
    # twice, unknown, missing
    ("key twice", plus('name = "y"')),
    ("table twice", plus("[training]\nepochs = 1\n[training]\nepochs = 2")),
    ("table over value", plus("members = 3\n[members]")),
    ("no name", but("name", "1")[:-9]),
    ("unknown key", plus("member = 3")),
    ("option in the wrong place", plus("epochs = 3")),
    ("unknown option", plus("training.epoch = 3")),
    ("unknown hyperparameter", plus("space.hidden_sizes = 3")),
    ("unknown preset", plus('training.preset = "greff"')),
    ("unknown runner", plus('runner = "slurm"')),
    ("dunder key", plus("__class__ = 3")),
    ("quoted key with code", plus(f'"{RUN}" = 3')),
    ("key with an escape sequence", plus('"\\u001b[31m" = 3')),
    # types
    ("name a number", but("name", "1")),
    ("name empty", but("name", '""')),
    ("cells a text", but("cells", '"lstm"')),
    ("cells a number", but("cells", "3")),
    ("cells a table", but("cells", '{lstm = "x"}')),
    ("cells of numbers", but("cells", "[1, 2]")),
    ("cells of lists", but("cells", '[["lstm"]]')),
    ("no cells", but("cells", "[]")),
    ("no tasks", but("tasks", "[]")),
    ("a cell twice", but("cells", '["lstm", "gru", "lstm"]')),
    ("members a date", plus("members = 2024-01-01")),
    ("members a truth value", plus("members = true")),
    ("members a fraction", plus("members = 1.5")),
    ("members a list", plus("members = [1]")),
    ("training a list", plus("training = [1]")),
    ("space a text", plus('space = "wide"')),
    ("preset a list", plus("training.preset = []")),
    ("space preset a table", plus("space.preset = {}")),
    ("optimizer a list", plus("training.optimizer = []")),
    ("epochs a time", plus("training.epochs = 12:00:00")),
    # numbers
    ("members zero", plus("members = 0")),
    ("members negative", plus("members = -1")),
    ("members huge", plus("members = 1_000_000_000_000")),
    ("workers huge", plus("workers = 1_000_000_000_000")),
    ("population huge", plus("population = 1_000_000_000_000")),
    ("seed negative", plus("seed = -1")),
    ("seed NaN", plus("seed = nan")),
    ("epochs NaN", plus("training.epochs = nan")),
    ("padding NaN", plus("training.padding = nan")),
    ("padding infinite", plus("training.padding = inf")),
    ("learning rate NaN", plus("space.learning_rate = nan")),
    ("learning rate infinite", plus("space.learning_rate = inf")),
    ("learning rate negative", plus("space.learning_rate = -1.0")),
    ("learning rate from NaN", plus("space.learning_rate = { uniform = [nan, nan] }")),
    ("learning rate to infinity", plus("space.learning_rate = { uniform = [0.1, inf] }")),
    ("logarithm of zero", plus("space.learning_rate = { log_uniform = [0, 1] }")),
    ("empty range", plus("space.learning_rate = { uniform = [2, 1] }")),
    ("empty choice", plus("space.learning_rate = { choice = [] }")),
    ("choice of text", plus('space.learning_rate = { choice = ["fast"] }')),
    ("momentum of one", plus("space.momentum = 1.0")),
    ("hidden size zero", plus("space.hidden_size = 0")),
    ("hidden size huge", plus("space.hidden_size = 1_000_000_000_000")),
    ("batch zero", plus("training.batch_size = 0")),
    # what they name
    ("unknown cell", but("cells", '["lstmm"]')),
    ("unknown ablation", but("cells", '["lstm:no_gate"]')),
    ("code as a cell", but("cells", f'["{RUN}"]')),
    ("shell as a cell", but("cells", f'["{SHELL}"]')),
    ("cell file elsewhere", but("cells", '["../../../../etc/passwd"]')),
    ("cell file without end", but("cells", '["/dev/zero"]')),
    ("cell file with a null byte", but("cells", '["a\\u0000.cell"]')),
    ("unknown task", but("tasks", '["xlm"]')),
    ("unknown task option", but("tasks", '["xml@steps=3"]')),
    ("task option of nonsense", but("tasks", f'["xml@max_steps={RUN}"]')),
    ("task option of 400 digits", but("tasks", f'["xml@max_steps={many(400, "9")}"]')),
    ("shell as a task", but("tasks", f'["text:{SHELL}"]')),
    ("text of nothing", but("tasks", '["text:"]')),
    ("text in a folder", but("tasks", '["text:/"]')),
    ("text without end", but("tasks", '["text:/dev/zero"]')),
    ("text with a null byte", but("tasks", '["text:a\\u0000b"]')),
    ("forget bias without forget gate", plus("space.forget_bias = 1")),
]


@pytest.fixture(autouse=True)
def no_effect(cwd):
    """Fails a test that leaves anything in the current folder."""
    yield
    assert list(cwd.iterdir()) == []


def refused(call):
    """Checks a refusal, and what it costs."""
    with at_most(CALLS):
        called = call()
    assert called.code == 2, called
    assert called.out == ""
    assert len(called.err.splitlines()) == 1, called.err
    assert called.err.startswith("odyssey: ")
    assert called.err[:-1].isprintable()
    assert 20 < len(called.err) < 1_100
    return called.err


def test_there_are_enough_of_them():
    assert len({data for _, data in STUDIES}) == len(STUDIES) >= 50


def test_the_good_study_is_good(odyssey, tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(GOOD)
    assert odyssey("search", path, "--dry-run", "--json").code == 0


@pytest.mark.parametrize(("name", "data"), STUDIES, ids=[name for name, _ in STUDIES])
def test_a_study_is_refused(odyssey, tmp_path, name, data):
    path = tmp_path / "study.toml"
    path.write_bytes(data)
    refused(lambda: odyssey("search", path, "--runner", "local"))


@pytest.mark.parametrize("path", ["", "/", ".", "/dev/zero", "no.toml", "x" * 5_000, "\udcff", "-"])
def test_what_is_no_study_file_is_refused(odyssey, path):
    refused(lambda: odyssey("search", path))


@pytest.mark.parametrize(
    ("name", "data"), hostile.HOSTILE_TEXTS, ids=[name for name, _ in hostile.HOSTILE_TEXTS]
)
def test_a_cell_text_is_refused(odyssey, tmp_path, name, data):
    path = tmp_path / "bad.cell"
    path.write_bytes(data)
    assert "bad.cell" in refused(lambda: odyssey("show", path))


@pytest.mark.parametrize(
    "spec", hostile.HOSTILE_SPECS, ids=[ascii(s)[:40] for s in hostile.HOSTILE_SPECS]
)
def test_a_spec_is_refused(odyssey, spec):
    refused(lambda: odyssey("show", "--", spec))
    refused(lambda: odyssey("train", "--task", "xml", "--out", "never", "--", spec))


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "=",
        "=1",
        "members",
        "members=",
        "members=1\nseed=2",
        f"members={RUN}",
        f"{RUN}=1",
        "training=1",
        "name.first=1",
        "space.learning_rate=nan",
        "x=" + "[" * 50_000,
        "." * 50_000 + "=1",
        "a" * 100_000 + "=1",
        "members=" + "9" * 10_000,
        "name=\udcff",
    ],
    ids=lambda setting: ascii(setting)[:40],
)
def test_a_setting_is_refused(odyssey, tmp_path, setting):
    path = tmp_path / "study.toml"
    path.write_bytes(GOOD)
    refused(lambda: odyssey("search", path, "--set", setting))


# in processes of their own, as a user calls it

MANY = """
import contextlib, io, json, sys
from odyssey.cli.main import main

for arguments in json.load(open(sys.argv[1])):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(arguments)
    loaded = sorted({"torch", "ray", "scipy", "matplotlib"} & set(sys.modules))
    print(json.dumps([arguments, code, len(said.getvalue().splitlines()), loaded]))
"""


def test_nothing_heavy_is_imported_for_a_refusal(cwd, tmp_path):
    calls = []
    for number, (_, data) in enumerate(STUDIES):
        path = tmp_path / f"{number}.toml"
        path.write_bytes(data)
        calls.append(["search", str(path), "--runner", "local"])
    for number, (_, data) in enumerate(hostile.HOSTILE_TEXTS):
        path = tmp_path / f"{number}.cell"
        path.write_bytes(data)
        calls += [["show", str(path)], ["train", str(path), "--task", "xml", "--out", "never"]]
    (tmp_path / "calls.json").write_text(json.dumps(calls))
    done = python("-c", MANY, tmp_path / "calls.json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers == [[arguments, 2, 1, []] for arguments in calls]


@pytest.mark.parametrize(
    "arguments", [("search", "{folder}/study.toml"), ("show", "{folder}/bad.cell")]
)
def test_a_process_says_one_line_and_ends_with_2(cwd, tmp_path, arguments):
    (tmp_path / "study.toml").write_bytes(dict(STUDIES)["learning rate NaN"])
    (tmp_path / "bad.cell").write_bytes(dict(hostile.HOSTILE_TEXTS)["import call"])
    done = python("-m", "odyssey", *(a.format(folder=tmp_path) for a in arguments), cwd=cwd)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
