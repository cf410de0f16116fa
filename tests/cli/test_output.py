r"""Nothing that is printed steers a terminal, or stops on an encoding that lacks it."""

import io
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text
from support.driving import HANGS, environment, python

from odyssey.cli.main import COMMANDS, main
from odyssey.cli.printing import print_rows
from odyssey.progress import output
from odyssey.progress.study import study_picture
from odyssey.studies.board import StudyBoard
from odyssey.studies.runners import ray as ray_runner

HOSTILE = "a\x1b[2Jb\x07c\x00d\x9b31me\u202ef\u2066g\rh\x7f\u2028\ud800é中"
QUIET = ("--hidden-size", "4", "--epochs", "1", "--updates-per-epoch", "2", "--batch-size", "2")
SMALL = ("--set", "valid_characters=100", "--set", "test_characters=100", "--unroll", "5")
STUDY = (
    'name = "été"\ndescription = "中"\ncells = ["gru", "elman"]\ntasks = ["text:été.txt"]\n'
    'members = 1\nbaseline = "gru"\nrunner = "local"\nworkers = 1\n'
    "[training]\nepochs = 1\nupdates_per_epoch = 2\nbatch_size = 2\nunroll = 5\n"
    "valid_characters = 100\ntest_characters = 100\n[space]\nhidden_size = 4\n"
)
# a command line, in the order in which they need each other -> its exit code
TASK = ("--task", "text:été.txt")
TABLE = [
    (("cells",), 0),
    (("cells", "--variants"), 0),
    (("cells", "lem"), 0),
    (("cells", "--markdown"), 0),
    (("cells", "--family", HOSTILE), 2),
    (("cells", HOSTILE), 2),
    (("show", "é.cell"), 0),
    (("show", "é.cell", "--as", "latex"), 0),
    (("mutate", "é.cell", "--count", "2"), 0),
    (("mutate", "--list"), 0),
    (("train", "é.cell", *TASK, "--out", "rün", *QUIET, *SMALL, "--sample", "300"), 0),
    (("sample", "rün", "--length", "300", "--temperature", "5"), 0),
    (("sample", "rün", "--length", "20", "--json"), 0),
    (("sample", "rün", "--prime", HOSTILE), 2),
    (("units", "rün", "--shifts", "3", "--out", "ünits", "--page-characters", "50"), 0),
    (("errors", "rün", "--out", "fehlér"), 0),
    (("caption", "rün", HOSTILE), 2),
    (("export", "é.cell", "--to", "json"), 0),
    (("export", "rün", "--to", "torch", "-o", "töch"), 0),
    (("export", "rün", "--to", "latex"), 0),
    (("export", HOSTILE, "--to", "svg"), 2),
    (("gradients", "rün", "--steps", "4", "--rows", "2", "--out", "g", "--no-animation"), 0),
    (("search", "é.toml", "--out", "stüdy"), 0),
    (("search", "é.toml", "--dry-run"), 0),
    (("status", "stüdy"), 0),
    (("extend", "stüdy", "--draws", "2", "--dry-run"), 0),
    (("extend", "stüdy", "--cells", HOSTILE), 2),
    (("compare", "stüdy", "rün"), 0),
    (("compare", "stüdy", HOSTILE), 2),
    (("report", "stüdy"), 0),
    (("ablate", "é.cell", "--variants", HOSTILE, "--dry-run"), 2),
    (("path", "gru", "mgu", "--tasks", "text:été.txt", "--draws", "1", "--dry-run"), 0),
    (("path", "é.cell", HOSTILE, "--dry-run"), 2),
    (("promote", "stüdy"), 2),
    (("data", "list"), 0),
    (("data", "get", HOSTILE), 2),
    (("bench", HOSTILE), 2),
    (("tune", "--dtype", HOSTILE), 2),
    (("doctor",), 0),
    (("check", "é.py"), 1),
    (("check", "é.py", "--json"), 1),
    (("check", HOSTILE), 1),
    (("show", HOSTILE), 2),
    (("--help",), 0),
    (("train", "--help"), 0),
    (("train", "gru", "--task", "text:nö" + HOSTILE), 2),
    (("search", "é.toml", "--set", f"{HOSTILE}={HOSTILE}"), 2),
    ((HOSTILE,), 2),
]


def test_every_command_is_in_the_table():
    assert set(COMMANDS) <= {arguments[0] for arguments, _ in TABLE}


class Terminal(io.TextIOWrapper):
    """A terminal of one encoding that stops on whatever it lacks."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("encoding", "kind"), [("ascii", io.TextIOWrapper), ("utf-8", Terminal)])
def test_every_command_prints_what_a_terminal_can_take(cwd, monkeypatch, encoding, kind):
    (cwd / "été.txt").write_text("é\x1b\x07\u202e中“ b” \n" * 900)
    (cwd / "é.toml").write_text(STUDY)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(ray_runner, "probe", lambda: "Ray is not what this is about")
    assert main(["show", "gru"]) == 0
    from odyssey.specs import get_cell

    (cwd / "é.cell").write_text(get_cell("gru").text)
    # what draws figures is slow, and prints in no other way
    figures = () if kind is io.TextIOWrapper else ("units", "errors", "gradients", "report")
    for arguments, expected in TABLE:
        if arguments[0] in figures:
            continue
        with monkeypatch.context() as patched:
            written = [io.BytesIO(), io.BytesIO()]
            out, err = (kind(raw, encoding, errors="strict") for raw in written)
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            code = main(list(arguments))
            out.flush(), err.flush()
            shown = [raw.getvalue().decode(encoding) for raw in written]
        assert code == expected, (arguments, shown)
        for text in shown:
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text) if kind is Terminal else text
            steering = output._STEERS.findall(
                plain.replace("\r", "") if kind is Terminal else plain
            )
            assert steering == [], (arguments, text)
            assert "\x1b[2J" not in text
        if expected:
            assert len(shown[1].splitlines()) == 1
            assert len(shown[1]) < 1_100


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(), max_size=5), st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8"]))
def test_any_text_can_be_written_piece_by_piece(pieces, encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors="strict", newline="\n")
    guarded = output.Output(stream)
    for piece in pieces:
        assert guarded.write(piece) == len(piece)
    guarded.finish()
    written = raw.getvalue().decode(encoding)
    assert output._STEERS.search(written) is None
    whole = output.without_steering("".join(pieces))
    if "\r" not in "".join(pieces)[-1:]:
        assert written == whole.encode(encoding, "backslashreplace").decode(encoding)


def test_tables_and_pictures_escape_what_they_hold(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(raw, "utf-8", newline="\n"))
    with output.guarded():
        print_rows([{"name": HOSTILE.replace("\ud800", ""), "n": 1}])
        table = Table("x")
        table.add_row(Text("a\x1b[2Jb", style="bold"))
        output.console(force_terminal=True).print(table)
    text = raw.getvalue().decode("utf-8")
    assert r"\x1b[2J" in text
    assert "\x1b[2J" not in text
    assert "\x1b[1m" in text  # rich's own


def test_the_live_table_names_the_unit():
    board = StudyBoard({"enwik8": {"unit": "bytes", "encoding": ""}, "xml": {}}, 2, 0)
    row = {"task": "enwik8", "spec": "gru", "status": "ok", "valid_bpc": 2.0, "valid_accuracy": 0.5}
    board.include([row, row | {"task": "xml"}])
    out = io.StringIO()
    output.console(width=100).__class__(file=out, width=100).print(study_picture(board))
    assert "bits/byte" in out.getvalue()
    assert "bits/char" in out.getvalue()
    assert "symbols/s" in out.getvalue()


def test_an_ascii_terminal_and_the_end_of_a_pipe_in_a_process(cwd):
    (cwd / "cycle.txt").write_text("é\x1b中" * 1000)
    train = ("train", "gru", "--task", "text:cycle.txt", "--out", "run", *QUIET, *SMALL)
    assert main([*train, "--sample", "0"]) == 0
    sample = ("-m", "odyssey", "sample", "run", "--length", "3000")
    plain = python(*sample, cwd=cwd, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout.isascii()
    assert r"\xe9" in plain.stdout
    assert r"\x1b" in plain.stdout
    command = f"{sys.executable} -m odyssey sample run --length 3000 | head -c 20"
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS,
    )
    assert (piped.returncode, piped.stderr) == (0, "")
