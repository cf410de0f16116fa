"""Code for other processors than this one compiles, and where it runs it computes the same."""

import shlex
import subprocess

import pytest
import torch
from support import standalone
from support.comparing import compare, gradients, rnn
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.compiler import layers
from odyssey.compiler.backends.native import targets, toolchain
from odyssey.compiler.backends.native.call import kernel
from odyssey.compiler.backends.native.plan import make_plan
from odyssey.compiler.backends.native.source import writer as codegen
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError

WIDTHS = list(targets.TARGETS)
HERE = toolchain.machine()
COMPILED = [t for t, row in targets.TARGETS.items() if row.machine in ("", HERE)]
OTHERS = [t for t in COMPILED if t != toolchain.target()]  # its own is run everywhere
CROSS = standalone.find_compiler("aarch64-linux-gnu-gcc", "clang --target=aarch64-linux-gnu")
EMULATOR = standalone.find_compiler("qemu-aarch64", "qemu-aarch64-static")
NEEDS_CROSS = "no compiler for aarch64 here (apt install gcc-aarch64-linux-gnu)"
NEEDS_EMULATOR = "no cross gcc and qemu here (apt install gcc-aarch64-linux-gnu qemu-user)"


def source(spec, target):
    plan = make_plan(lower(odyssey.get_cell(spec)))
    return codegen.generate(plan, dtype="float32", target=target)


def sizes(spec, hidden):
    return {"size": hidden if lower(odyssey.get_cell(spec)).square else 3, "hidden": hidden}


def test_a_narrower_target_can_be_asked_for(monkeypatch):
    able = toolchain.able_targets()
    for target in able:
        monkeypatch.setenv("ODYSSEY_TARGET", target)
        assert toolchain.target() == target
        assert f"{target} vectors" in source("gru", toolchain.target())
    for target in {*WIDTHS, "avx"} - set(able):
        monkeypatch.setenv("ODYSSEY_TARGET", target)
        with pytest.raises(ConfigError, match="ODYSSEY_TARGET"):
            toolchain.target()


def test_no_code_is_wider_than_was_asked_for(monkeypatch, tmp_path):
    """A loop that the compiler turns into vectors by itself, as wide as its flags allow."""
    monkeypatch.setenv("CC", f"{shlex.join(toolchain.compiler())} -O3")
    loop = "void f(float *x) { for (int k = 0; k < 4096; k++) x[k] = x[k] * x[k] + 1; }\n"
    for target in toolchain.able_targets() if HERE == "x86_64" else []:
        monkeypatch.setenv("ODYSSEY_TARGET", target)
        path = tmp_path / f"{target}.s"
        monkeypatch.setattr(toolchain, "FLAGS", ("-O3", "-S"))
        toolchain.compile_source(loop, path)
        assert ("%zmm" in path.read_text()) <= (target == "avx512")
        assert ("%ymm" in path.read_text()) <= (target in ("avx512", "avx2"))


@pytest.mark.parametrize("spec", REPRESENTATIVES)
@pytest.mark.parametrize("target", OTHERS)
def test_other_vectors_of_this_processor(target, spec, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", f"{shlex.join(toolchain.compiler())} {targets.TARGETS[target].flags}")
    if target not in toolchain.able_targets():
        toolchain.compile_source(source(spec, target), tmp_path / "x.so")
        return
    monkeypatch.setattr(toolchain, "target", lambda: target)
    kernel.forget()
    layers._built.cache_clear()
    try:
        compare(spec, **sizes(spec, 13), steps=3, batch=7, dtype=torch.float32)
    finally:
        kernel.forget()
        layers._built.cache_clear()


@pytest.mark.skipif(CROSS is None, reason=NEEDS_CROSS)
def test_aarch64_compiles(tmp_path):
    flags = [flag for flag in toolchain.FLAGS if flag != "-shared"]
    for spec in REPRESENTATIVES:
        subprocess.run(
            [*CROSS, *flags, "-c", "-x", "c", "-", "-o", str(tmp_path / "x.o")],
            input=source(spec, "neon"),
            text=True,
            check=True,
        )


@pytest.mark.skipif(EMULATOR is None or CROSS is None or len(CROSS) > 1, reason=NEEDS_EMULATOR)
def test_aarch64_computes_the_same(monkeypatch, tmp_path):
    for spec in REPRESENTATIVES:
        folder = tmp_path / spec
        folder.mkdir()
        computes_the_same(spec, monkeypatch, folder)


def computes_the_same(spec, monkeypatch, folder):
    with standalone.record(monkeypatch, target="neon") as recordings:
        model = rnn(spec, *sizes(spec, 13).values(), backend="native")
        x = torch.randn(3, 7, model.input_size, requires_grad=True)
        state = tuple(s.requires_grad_() for s in model.start_state(7))
        gradients(model, x, state)
    (recording,) = (r for r in recordings.values() if r.calls)
    assert {"odyssey_forward", "odyssey_backward"} <= {call.entry for call in recording.calls}
    program = standalone.build(recording, folder, command=CROSS, flags=["-static"])
    code, error, found = standalone.run(program, recording.calls, emulator=EMULATOR)
    assert code == 0, error
    standalone.assert_same(recording.calls, found, tolerance=1e-5)
