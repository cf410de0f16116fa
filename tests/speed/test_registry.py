"""Every section runs, in tiny sizes, and says what it found."""

import datetime
import math

import pytest
import torch

from odyssey.compiler.backends.native import toolchain
from odyssey.errors import ConfigError
from odyssey.speed import building, steps
from odyssey.speed.document import format_measurement, write_document
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
    threads = torch.get_num_threads()
    result = run(name)
    assert torch.get_num_threads() == threads
    heads = set(result.rows[0])
    for row in result.rows:
        assert set(row) == heads
        numbers = [v for v in row.values() if isinstance(v, float)]
        assert all(math.isfinite(v) for v in numbers)
    assert result.findings
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
        "dense": 27, "classes": 27, "cells": 52, "sgemm": 1, "compile": 3, "tiny": 2, "step": 2,
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
    case, *_ = building.build_cases(QUICK)
    row = case.measure()
    assert list(tmp_path.iterdir()) == []
    assert row["cold"] == pytest.approx(row["generate"] + row["compile and load"])
    assert row["warm load"] > 0
    assert len(compiled) == 1  # the warm load compiles nothing


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
