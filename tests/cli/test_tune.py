"""`odyssey tune`: a row a size, the file, and one line for a mistake."""

import re
from pathlib import Path

import pytest
from support.answers import refused, well

from odyssey.compiler.backends.native import toolchain, tuning

SMALL = ("--seconds", 0, "--hidden", 4, "--batch", 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("odyssey.studies.runners.ray.probe", lambda: "starts a worker")
    tuning.reread()
    yield
    tuning.reread()


def test_a_table_and_a_file(odyssey):
    called = odyssey("tune", *SMALL, "--hidden", 4, 5, "--dtype", "both")
    assert called.code == 0
    lines = called.err.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"  1/4  float32  H=4 B=1  about 0 s left", lines[0])
    lines = called.out.splitlines()
    assert max(map(len, lines)) <= 200
    assert lines[0].split()[:4] == ["dtype", "H", "B", "tiling"]
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["float32", "4", "1"], ["float64", "4", "1"], ["float32", "5", "1"], ["float64", "5", "1"],
    ]  # fmt: skip
    files = [Path(line.removeprefix("written: ")) for line in lines if line.startswith("written")]
    assert len(files) == 2
    assert all(path.is_file() for path in files)
    forgotten = well(odyssey("tune", "--forget"))
    assert forgotten.out.splitlines() == [f"removed: {path}" for path in sorted(files)]
    assert "nothing was measured" in well(odyssey("tune", "--forget")).out
    assert well(odyssey("tune", "--forget", "--json")).json == {"removed": []}


def test_json_and_the_doctor(odyssey):
    target = toolchain.target()

    def told():
        rows = odyssey("doctor", "--json").json
        return next(row for row in rows if row["check"] == "tilings")

    assert told()["found"] == f"{target}: float32 built in, float64 built in"
    assert "odyssey tune" in told()["do"]
    found = odyssey("tune", *SMALL, "--json").json
    (row,) = found["sizes"]
    assert (row["dtype"], row["H"], row["B"]) == ("float32", 4, 1)
    assert min(row["GFLOP/s"], row["built in"], row["products"], row["torch"]) > 0
    assert found["machine"]["target"] == target
    tuning.reread()  # as a new process does
    assert re.match(
        rf"{target}: float32 tuned \d{{4}}-\d\d-\d\d \w{{8}}, float64 built in", told()["found"]
    )
    assert told()["do"] == ""


def test_the_doctor_sees_a_target_that_is_none(odyssey, monkeypatch):
    monkeypatch.setenv("ODYSSEY_TARGET", "avx9")
    rows = {row["check"]: row for row in odyssey("doctor", "--json").json}
    assert not rows["tilings"]["works"]
    assert rows["tilings"]["do"] == "unset ODYSSEY_TARGET"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "-3"], "seconds must be a number from 0"),
        (["--seconds", "x"], "--seconds takes a number, got 'x'"),
        (["--hidden", "99999"], "hidden must be a whole number from 1 to 4,096, got 99999"),
        (["--dtype", "float16"], "no value of --dtype called 'float16'; closest: float"),
        (["--batch"], "expected at least one argument"),
    ],
)
def test_a_mistake_gets_one_line(odyssey, arguments, message):
    assert message in refused(odyssey("tune", *arguments))


def test_without_a_compiler(odyssey, monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert "CC names '/nowhere/cc'" in refused(odyssey("tune", *SMALL))
