"""Generated code under AddressSanitizer and UBSan, every buffer as long as its call says.

The code runs in a program of its own, without optimisation: so every access of the source happens,
and is checked.
"""

import dataclasses
import re
import subprocess

import numpy as np
import pytest
import torch
from support import standalone
from support.random_cells import random_cell, random_wide_cell
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call.layer import has_loop
from odyssey.compiler.lowering import lower

CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ABLATIONS = (
    *("lstm_peephole:FGR", "lstm_peephole:no_forget_gate", "lstm_peephole:no_peepholes"),
    *("lstm:couple=f:i", "lstm:no_output_gate", "lstm:no_recurrent=i", "lstm:peepholes"),
    *("gru:drop_gate=r", "gru:no_recurrent=z", "mut1:no_bias"),
)
NAMED = {
    **{spec: torch.float32 for spec in REPRESENTATIVES},
    **{spec: torch.float64 for spec in ABLATIONS},
}


def sanitizer_fails():
    """Says why nothing can be compiled and run with the sanitizers, or nothing."""
    try:
        command = [*toolchain.compiler(), *CHECKS, "-x", "c", "-", "-o", "/dev/null"]
    except toolchain.BuildError as error:
        return str(error)
    done = subprocess.run(
        command, input="int main(void) { return 0; }", capture_output=True, text=True, check=False
    )
    return f"no sanitizers in {command[0]}: {done.stderr.strip()[:200]}" if done.returncode else ""


REASON = sanitizer_fails()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "there are sanitizers")


def recorded(cell, dtype, monkeypatch, *, seed=0):
    """Runs a cell in every way that calls into C, and gives the recording; None without a loop."""
    rng = np.random.default_rng(seed)
    hidden, batch, steps = (int(rng.integers(1, most)) for most in (36, 12, 6))
    sizes = [hidden, int(rng.integers(1, hidden + 1))]
    torch.manual_seed(seed)
    with standalone.record(monkeypatch) as recordings:
        program = lower(cell)
        if not has_loop(program):
            return None
        size = hidden if program.square else int(rng.integers(1, 10))
        for population, units in ((None, hidden), (2, sizes)):
            lead = () if population is None else (population,)
            model = odyssey.RNN(
                cell, size, units, population=population, backend="native", dtype=dtype
            )
            dense = torch.randn(*lead, steps, batch, size, dtype=dtype, requires_grad=True)
            classes = torch.randint(size, (*lead, steps, batch))
            for x in (dense, classes):
                y, final = model(x)
                (y.sum() + sum((s**2).sum() for s in final)).backward()
            with torch.no_grad():
                model(dense)
    (recording,) = (r for r in recordings.values() if r.calls)
    return recording


def build(recording, folder, *flags):
    return standalone.build(
        recording, folder, flags=[*toolchain.TUNING[:1], *flags, *CHECKS, "-g1"]
    )


def check(recording, folder, *flags):
    program = build(recording, folder, *flags)
    code, error, found = standalone.run(program, recording.calls)
    assert code == 0, error[:3000]
    standalone.assert_same(recording.calls, found, tolerance=1e-5)


@pytest.mark.parametrize("spec", NAMED)
def test_named_cells(spec, monkeypatch, tmp_path):
    seed = list(NAMED).index(spec)
    recording = recorded(odyssey.get_cell(spec), NAMED[spec], monkeypatch, seed=seed)
    entries = {call.entry for call in recording.calls}
    assert {"odyssey_forward", "odyssey_backward"} <= entries
    check(recording, tmp_path, "-O0")


@pytest.mark.parametrize("seed", range(12))
def test_random_cells(seed, monkeypatch, tmp_path):
    rng = np.random.default_rng(seed)  # the same cells as the oracle's
    cell = random_cell(rng, size=int(rng.integers(3, 26)))
    recording = recorded(cell, torch.float64, monkeypatch, seed=seed)
    if recording:
        check(recording, tmp_path, "-O0")


@pytest.mark.parametrize("seed", range(8))
def test_random_wide_cells(seed, monkeypatch, tmp_path):
    cell = random_wide_cell(np.random.default_rng([5, seed]), size=4 + seed)
    dtype = (torch.float32, torch.float64)[seed % 2]
    recording = recorded(cell, dtype, monkeypatch, seed=seed)
    if recording:
        check(recording, tmp_path, "-O0")


def test_optimised_as_it_is_shipped(monkeypatch, tmp_path):
    recording = recorded(odyssey.get_cell("gru"), torch.float32, monkeypatch, seed=3)
    check(recording, tmp_path)


# the checks can fail


@pytest.fixture
def small(monkeypatch):
    """The calls of one forward and backward pass."""
    with standalone.record(monkeypatch) as recordings:
        model = odyssey.RNN(odyssey.get_cell("elman"), 3, 19, backend="native")
        model(torch.randn(2, 3, 3, requires_grad=True))[0].sum().backward()
    (recording,) = (r for r in recordings.values() if r.calls)
    return recording


def test_a_buffer_that_is_one_number_short_is_noticed(small, tmp_path):
    program = build(small, tmp_path, "-O0")
    short = 0
    for call in small.calls:
        for number, (before, after) in enumerate(zip(call.before, call.after, strict=True)):
            if before[-4:] == after[-4:]:
                continue  # its last number is not written
            less = [b[:-4] if n == number else b for n, b in enumerate(call.before)]
            code, error, _ = standalone.run(program, [dataclasses.replace(call, before=less)])
            assert code != 0, f"{call.entry}, buffer {number}"
            assert "heap-buffer-overflow" in error
            short += 1
    assert short >= 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("volatile int big = 0x7fffffff; big += 1;", "signed integer overflow"),
        ("volatile long k = 64; volatile int one = 1 << k;", "shift exponent"),
        ("volatile vec *at = (vec *)((char *)m->s0 + 4); (void)*at;", "misaligned address"),
    ],
)
def test_undefined_behaviour_is_noticed(small, tmp_path, line, message):
    source, count = re.subn(
        r"(void odyssey_forward\(const struct sizes \*z, const struct member \*m\) \{)",
        rf"\1 {line}",
        small.source,
    )
    assert count == 1
    program = build(dataclasses.replace(small, source=source), tmp_path, "-O0")
    code, error, _ = standalone.run(program, small.calls)
    assert code != 0
    assert message in error
