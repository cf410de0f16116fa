"""Every section runs, in tiny sizes, and says what it found."""

import datetime
import json
import math
from dataclasses import replace

import pytest
import torch

from odyssey.compiler.backends.native import toolchain
from odyssey.errors import ConfigError, RunFailedError
from odyssey.specs import get_cell
from odyssey.speed import building, pair, steps
from odyssey.speed.cells import count_flops
from odyssey.speed.document import format_measurement, write_document
from odyssey.speed.names import SECTION_NAMES
from odyssey.speed.record import write_record
from odyssey.speed.registry import SECTIONS, run_sections
from odyssey.speed.section import Finding, Settings
from odyssey.speed.tracing import traced

QUICK = Settings(rounds=1, steps=6, quick=True)


def run(name, settings=QUICK):
    lines = []
    (result,) = run_sections([name], settings, progress=lines.append)
    assert [p.done for p in lines] == list(range(len(result.rows)))
    assert {p.cases for p in lines} == {len(result.rows)}
    return result


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section(name):
    if reason := SECTIONS[name].lacking():
        pytest.skip(reason)
    threads = torch.get_num_threads()
    result = run(name)
    assert torch.get_num_threads() == threads
    heads = set(result.rows[0])
    for row in result.rows:
        assert set(row) == heads
        numbers = [v for v in row.values() if isinstance(v, float)]
        assert all(math.isfinite(v) for v in numbers)
    assert result.findings
    assert not result.skipped
    assert all(f.value > 0 for f in result.findings)
    text = write_document(
        [result], QUICK, machine={"processor": "p"}, date=datetime.date(2026, 1, 31)
    )
    assert text.startswith("# Benchmarks, 2026-01-31\n\nprocessor: p. T = 6, medians of 1 ")
    assert f"(`{name}`)" in text
    assert all(finding.name in text for finding in result.findings)
    assert text.count("\n|") == 2 + len(result.findings) + 2 + len(result.rows)


def test_ratios_are_of_the_times_beside_them():
    (row,) = run("dense", Settings(rounds=1, steps=6, hidden=(4,), batch=(2,), quick=True)).rows[:1]
    assert (row["H"], row["B"]) == (4, 2)
    assert row["nn / native"] == pytest.approx(row["nn"] / row["native"])


def test_the_usual_sizes():
    settings = Settings()
    count = {name: len(section.cases(settings)) for name, section in SECTIONS.items()}
    assert all(count.values())
    assert count | {
        "dense": 27, "classes": 27, "cells": 52, "sgemm": 3, "compile": 4, "tiny": 2, "step": 2,
        "train": 3, "pair": 2,
    } == count  # fmt: skip
    assert settings.usual
    assert not QUICK.usual
    assert not Settings(hidden=(64,)).usual


def test_findings_know_their_bounds():
    assert (Finding("a", 2.0, 1.5).wanted, Finding("a", 2.0, 1.5).met) == ("at least 1.5", "yes")
    assert Finding("a", 1.4, 1.5).met == "NO"
    assert Finding("a", 1.4, 1.5, at_most=True).met == "yes"
    assert Finding("a", 1.6, 1.5, at_most=True).met == "NO"
    assert (Finding("a", 1.6).wanted, Finding("a", 1.6).met) == ("", "")
    assert Finding("a", 1.6).better == "more"
    assert Finding("a", 1.6, at_most=True).better == "less"
    assert Finding("a", 1.6, neutral=True).better == ""


def test_numbers_are_shown_with_three_digits():
    assert [format_measurement(v) for v in (123.4, 12.34, 1.234, 0.1234, 7, "x")] == [
        "123", "12.3", "1.23", "0.123", "7", "x",
    ]  # fmt: skip


def test_a_cold_build_does_not_touch_the_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path))
    compiled, compile_source = [], toolchain.compile_source
    monkeypatch.setattr(
        toolchain, "compile_source", lambda *a: compiled.append(a) or compile_source(*a)
    )
    shared, case, *_ = building.build_cases(QUICK)
    assert (shared.name, case.name) == (building.SHARED, "lstm")
    row = case.measure()
    assert list(tmp_path.iterdir()) == []
    assert row["cold"] == pytest.approx(row["generate"] + row["compile and load"])
    assert row["warm load"] > 0
    assert row["cold / one line"] == pytest.approx(row["cold"] / row["one line"])
    assert [source == building.ONE_LINE for source, _ in compiled] == [True, False]  # none warm


def test_what_all_cells_share_is_no_part_of_a_cell():
    shared = {"cell": building.SHARED, "operations": 0, "cold / one line": 9.0, "warm load": 1.0}
    lstm = {"cell": "lstm", "operations": 25, "cold / one line": 5.0, "warm load": 2.0}
    large = {"cell": "x", "operations": 40, "cold / one line": 14.0, "warm load": 1.0}
    found = building.build_findings([shared, lstm, large])
    assert [(f.value, f.bound, f.at_most) for f in found] == [
        (9.0, None, True), (5.0, 6.0, True), (14.0, 15.0, True), (2.0, 10.0, True),
    ]  # fmt: skip


def test_operations_of_matrix_products():
    # four gates of x, whose gradient nobody wants, and four of h
    assert count_flops(get_cell("lstm")) == 4 * (2 + 2) + 4 * (2 + 2 + 2)
    assert count_flops(get_cell("elman")) == 10


def test_a_section_that_lacks_something_says_so(monkeypatch):
    monkeypatch.setattr(pair, "count_cores", lambda: 1)
    lines = []
    (result,) = run_sections(["pair"], QUICK, progress=lines.append)
    assert lines == []
    assert (result.rows, result.findings) == ((), ())
    assert result.skipped == "it needs two cores, and there is one"
    text = write_document([result], QUICK, machine={}, date=datetime.date(2026, 1, 31))
    assert text.endswith("\nSkipped: it needs two cores, and there is one.\n")
    assert (
        json.loads(write_record([result], QUICK, machine={}, date=datetime.date(2026, 1, 31)))[
            "figures"
        ]
        == []
    )


def test_a_process_that_ends_is_missed(monkeypatch):
    monkeypatch.setattr(pair.sys, "path", [])
    with pytest.raises(RunFailedError, match="ended before it had measured"):
        pair._measure(4, 2, QUICK)


def test_a_record_is_what_was_found():
    (result,) = run_sections(["dense"], replace(QUICK, hidden=(4,), batch=(2,)), progress=print)
    text = write_record([result], QUICK, machine={"target": "t"}, date=datetime.date(2026, 1, 31))
    found = json.loads(text)
    assert found["date"] == "2026-01-31"
    assert found["machine"] == {"target": "t"}
    assert found["settings"]["steps"] == 6
    assert found["usual"] is False
    assert [f["value"] for f in found["figures"]] == [f.value for f in result.findings]
    assert {f["better"] for f in found["figures"]} == {"more"}
    assert found["figures"][0] | {"value": 0} == {
        "section": "dense", "figure": "lstm against nn.LSTM, worst shape", "value": 0,
        "bound": 1.0, "better": "more",
    }  # fmt: skip


def test_names_are_those_of_the_sections():
    assert tuple(SECTIONS) == SECTION_NAMES


def test_the_parts_of_a_step_are_all_of_it():
    with traced(steps.PARTS) as spent:
        steps._step(2, QUICK)
    assert all(seconds > 0 for seconds in spent.values()), spent


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rounds": 0}, "rounds must be from 1 to 1,000, got 0"),
        ({"steps": 10**9}, "steps must be from 1"),
        ({"hidden": (64, -1)}, "hidden must be from 1 to 4,096, got -1"),
        ({"batch": (0,)}, "batch must be from 1"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Settings(**settings)


def test_unknown_sections_are_refused():
    with pytest.raises(ConfigError, match="no section of the benchmark called 'dens'; closest"):
        run_sections(["dens"], QUICK, progress=print)
