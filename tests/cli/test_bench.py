"""`odyssey bench`: tables, Markdown and JSON, and one line for a mistake."""

import re
import sys

import pytest
import torch
from support.answers import refused

from odyssey.compiler.backends.native import toolchain

SMALL = ("--quick", "--rounds", 1, "--steps", 4)


def test_tables_and_markdown(odyssey, cwd):
    called = odyssey("bench", "classes", *SMALL, "--hidden", 5, 6, "--batch", 2, "--out", "b.md")
    assert called.code == 0
    assert max(map(len, called.out.splitlines())) <= 400  # notes are sentences
    lines = called.err.splitlines()
    assert len(lines) == 6
    assert re.fullmatch(r"  1/6  classes  lstm H=5 B=2  about \d+ s left", lines[0])
    assert lines[-1].endswith("left")
    text = (cwd / "b.md").read_text("utf-8")
    assert re.match(r"# Benchmarks, \d{4}-\d\d-\d\d\n", text)
    for part in ("processor: ", "compiler: ", "target: ", "torch: ", "threads: 1"):
        assert part in text
        assert part in called.out
    assert list(cwd.iterdir()) == [cwd / "b.md"]
    assert text.count("\n| lstm ") == text.count("\n| elman ") == 2


def test_json(odyssey):
    found = odyssey("bench", "dense", *SMALL, "--hidden", 5, "--batch", 2, "--json").json
    assert [row["cell"] for row in found["sections"]["dense"]] == ["lstm", "gru_torch", "elman"]
    assert found["machine"]["threads"] == "1"
    assert found["found"][0]["wanted"] == ""  # not the sizes that the goals are for


def test_kept_files_are_named_by_date_and_instruction_set(odyssey, cwd):
    command = ("bench", "dense", *SMALL, "--hidden", 5, "--batch", 2, "--keep", ".")
    assert odyssey(*command).code == 0
    names = sorted(path.name for path in cwd.iterdir())
    stem = rf"\d{{4}}-\d\d-\d\d-bench-{toolchain.target()}"
    assert all(map(re.fullmatch, (stem + r"\.json", stem + r"\.md"), names))
    before = [path.read_bytes() for path in sorted(cwd.iterdir())]
    assert "is there already; move it away" in refused(odyssey(*command))
    assert [path.read_bytes() for path in sorted(cwd.iterdir())] == before


def test_an_instruction_set_comes_before_torch(odyssey, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    message = refused(odyssey("bench", "dense", *SMALL, "--target", "avx2"))
    assert "must be chosen before torch is loaded" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dens"], "no section of the benchmark called 'dens'; closest: dense"),
        (["--rounds", "0"], "rounds must be from 1"),
        (["--steps", "x"], "--steps takes a whole number"),
        (["--hidden", "64", "99999"], "hidden must be from 1 to 4,096, got 99999"),
        (["--batch"], "expected at least one argument"),
        (["--out", "nowhere/b.md"], "name a file in a folder that exists"),
        (["--keep", "nowhere"], "--keep nowhere: name a folder that exists"),
        (["--target", "avx3"], "no instruction set called 'avx3'; closest: avx2"),
        (["--out", "."], "name a file in a folder that exists"),
    ],
)
def test_a_mistake_gets_one_line(odyssey, arguments, message):
    assert message in refused(odyssey("bench", *arguments))


def test_without_a_compiler(odyssey, monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert "CC names '/nowhere/cc'" in refused(odyssey("bench", "dense", *SMALL))
