"""`benchmarks/fallen.py`: known answers to which figures fell."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def fallen():
    spec = importlib.util.spec_from_file_location("fallen", ROOT / "benchmarks/fallen.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fallen"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fallen"]


def keep(folder, date, figures, *, target="avx2", usual=True, **machine):
    record = {
        "date": date,
        "machine": {"processor": "p", "target": target, **machine},
        "usual": usual,
        "figures": [
            {"section": s, "figure": f, "value": v, "bound": None, "better": better}
            for s, f, v, better in figures
        ],
    }
    path = folder / f"{date}-bench-{target}{'' if usual else '-quick'}.json"
    path.write_text(json.dumps(record), "utf-8")


@pytest.fixture
def ask(fallen, tmp_path, capsys):
    def call(*arguments):
        code = fallen.main(["--folder", str(tmp_path), *arguments])
        return code, capsys.readouterr().out.splitlines()

    return call


@pytest.mark.parametrize(
    ("before", "now", "better", "fell"),
    [
        (1.0, 0.95, "more", False),  # exactly five percent
        (1.0, 0.949, "more", True),
        (1.0, 2.0, "more", False),
        (1.0, 1.05, "less", False),
        (1.0, 1.051, "less", True),
        (1.0, 0.1, "less", False),
        (1.0, 0.1, "", False),
        (1.0, 9.0, "", False),
        (0.0, 0.0, "less", False),
    ],
)
def test_a_figure_falls_the_way_that_is_worse(fallen, before, now, better, fell):
    assert fallen.Change("s", "f", before, now, better).fell(5) is fell


def test_the_table_of_what_fell(ask, tmp_path):
    keep(tmp_path, "2026-01-01", [("dense", "mean", 9.0, "more")])  # too long ago to matter
    old = [
        ("dense", "mean", 2.0, "more"),
        ("compile", "lstm", 4.0, "less"),
        ("train", "rate", 200_000.0, "more"),
        ("cells", "share of the loop", 0.8, ""),
        ("tiny", "gone", 1.0, "more"),
    ]
    keep(tmp_path, "2026-01-02", old, clock="2.60 GHz")
    new = [
        ("dense", "mean", 1.5, "more"),
        ("compile", "lstm", 5.0, "less"),
        ("train", "rate", 195_000.0, "more"),
        ("cells", "share of the loop", 0.1, ""),
        ("pair", "new", 0.9, "more"),
    ]
    keep(tmp_path, "2026-01-10", new, clock="3.10 GHz")
    keep(tmp_path, "2026-01-11", [("dense", "mean", 0.1, "more")], usual=False)
    assert ask() == (
        1,
        [
            "avx2: 2026-01-10 beside 2026-01-02, 4 figures",
            "also changed: clock: 2.60 GHz -> 3.10 GHz",
            "not measured any more: tiny gone",
            "section  figure  before  now  change",
            "dense    mean         2  1.5   -25 %",
            "compile  lstm         4    5   +25 %",
        ],
    )
    assert ask("--percent", "30")[0] == 0


def test_each_instruction_set_is_compared_with_itself(ask, tmp_path):
    keep(tmp_path, "2026-01-01", [("dense", "mean", 3.0, "more")], target="avx512")
    keep(tmp_path, "2026-01-02", [("dense", "mean", 1.0, "more")])
    keep(tmp_path, "2026-01-03", [("dense", "mean", 1.0, "more")])
    assert ask() == (
        0,
        [
            "avx2: 2026-01-03 beside 2026-01-02, 1 figures",
            "nothing fell",
            "",
            "avx512: 2026-01-01 is the first, there is nothing to compare it with",
        ],
    )


def test_without_records(ask, tmp_path):
    code, (line,) = ask()
    assert code == 0
    assert line.startswith("no records in")
    with pytest.raises(SystemExit):
        ask("--folder", str(tmp_path / "nowhere"))
