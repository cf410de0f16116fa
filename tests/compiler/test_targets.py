"""Code for other processors than this one compiles, and where it runs it computes the same."""

import platform
import shlex
import subprocess

import pytest
import standalone
import torch
from comparing import compare, gradients, rnn

import odyssey
from odyssey.cells import LIBRARY
from odyssey.compiler import module
from odyssey.compiler.backends.native import codegen, targets, toolchain
from odyssey.compiler.backends.native.plan import make_plan
from odyssey.compiler.lowering import lower

X86 = {
    "avx512": "-march=x86-64 -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl",
    "avx2": "-march=x86-64 -mfma -mavx2",
    "plain": "-march=x86-64",
}
WIDTHS = ["avx512", "avx2", "plain"]  # a processor runs its own and all that follow
ON_X86 = platform.machine() in ("x86_64", "AMD64")
OTHERS = [t for t in X86 if t != toolchain.target()] if ON_X86 else []  # its own is run everywhere
CROSS = standalone.find_compiler("aarch64-linux-gnu-gcc", "clang --target=aarch64-linux-gnu")
EMULATOR = standalone.find_compiler("qemu-aarch64", "qemu-aarch64-static")
NEEDS_CROSS = "no compiler for aarch64 here (apt install gcc-aarch64-linux-gnu)"
NEEDS_EMULATOR = "no cross gcc and qemu here (apt install gcc-aarch64-linux-gnu qemu-user)"


def source(spec, target):
    plan = make_plan(lower(odyssey.get_cell(spec)))
    return codegen.generate(plan, dtype="float32", target=target)[0]


def sizes(spec, hidden):
    return {"size": hidden if lower(odyssey.get_cell(spec)).square else 3, "hidden": hidden}


def test_every_target_has_flags():
    assert set(X86) == set(WIDTHS) == set(targets.TARGETS)


@pytest.mark.parametrize("spec", LIBRARY)
@pytest.mark.parametrize("target", OTHERS)
def test_other_vectors_of_this_processor(target, spec, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", f"{shlex.join(toolchain.compiler())} {X86[target]}")
    if WIDTHS.index(target) < WIDTHS.index(toolchain.target()):
        toolchain.compile_source(source(spec, target), tmp_path / "x.so")
        return
    monkeypatch.setattr(toolchain, "target", lambda: target)
    module._built.cache_clear()
    try:
        compare(spec, **sizes(spec, 13), steps=3, batch=7, dtype=torch.float32)
    finally:
        module._built.cache_clear()


@pytest.mark.skipif(CROSS is None, reason=NEEDS_CROSS)
def test_aarch64_compiles(tmp_path):
    flags = [flag for flag in toolchain.FLAGS if flag != "-shared"]
    for spec in LIBRARY:
        subprocess.run(
            [*CROSS, *flags, "-c", "-x", "c", "-", "-o", str(tmp_path / "x.o")],
            input=source(spec, "plain"),
            text=True,
            check=True,
        )


@pytest.mark.skipif(EMULATOR is None or CROSS is None or len(CROSS) > 1, reason=NEEDS_EMULATOR)
def test_aarch64_computes_the_same(monkeypatch, tmp_path):
    for spec in LIBRARY:
        folder = tmp_path / spec
        folder.mkdir()
        computes_the_same(spec, monkeypatch, folder)


def computes_the_same(spec, monkeypatch, folder):
    with standalone.record(monkeypatch, target="plain") as recordings:
        model = rnn(spec, *sizes(spec, 13).values(), backend="native")
        x = torch.randn(3, 7, model.input_size, requires_grad=True)
        state = tuple(s.requires_grad_() for s in model.zero_state(7))
        gradients(model, x, state)
    (recording,) = (r for r in recordings.values() if r.calls)
    assert {"odyssey_forward", "odyssey_backward"} <= {call.entry for call in recording.calls}
    program = standalone.build(recording.source, folder, command=CROSS, flags=["-static"])
    code, error, found = standalone.run(program, recording.calls, emulator=EMULATOR)
    assert code == 0, error
    standalone.assert_same(recording.calls, found, tolerance=1e-5)
