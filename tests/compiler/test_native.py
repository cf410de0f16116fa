"""The native backend: its functions, odd sizes, the cache, the fallback, and torch's manners."""

import copy
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import golden
import mpmath
import numpy as np
import pytest
import torch
from support.comparing import compare, rnn
from support.driving import environment
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.compiler.backends import build_layer, native, notice
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.source.frame import write_preamble
from odyssey.compiler.backends.native.source.functions import TYPES, write_functions
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr.primitives import PRIMITIVES

REFERENCE = {name: row.numpy for name, row in PRIMITIVES.items() if row.arity == 1 and row.c}
PAIRS = {name: row.numpy for name, row in PRIMITIVES.items() if row.arity == 2}


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """Every function on arrays, compiled on its own."""
    folder, libraries = tmp_path_factory.mktemp("functions"), {}
    for dtype in TYPES:
        source = write_preamble("functions", dtype=dtype, target=toolchain.target())
        source += write_functions({*REFERENCE, *PAIRS}, dtype)
        for name in REFERENCE:
            body = f"st(x + j, v{name}(ld(x + j, n - j)), n - j);"
            source += (
                f"void f_{name}(real *x, long n) {{ for (long j = 0; j < n; j += V) {body} }}\n"
            )
        for name in PAIRS:
            body = f"st(x + j, v{name}(ld(x + j, n - j), ld(y + j, n - j)), n - j);"
            source += (
                f"void f_{name}(real *x, const real *y, long n) {{"
                f" for (long j = 0; j < n; j += V) {body} }}\n"
            )
        path = folder / f"{dtype}.so"
        toolchain.compile_source(source, path)
        libraries[dtype] = toolchain.ctypes.CDLL(str(path))
    return libraries


def apply(functions, name, x):
    y = x.copy()
    function = getattr(functions[str(x.dtype)], f"f_{name}")
    function(toolchain.ctypes.c_void_p(y.ctypes.data), toolchain.ctypes.c_long(len(y)))
    return y


def whole_range(dtype):
    """Numbers of every size, both signs, and a fine grid where the functions bend."""
    large = np.finfo(dtype).max * 0.99
    steps = np.geomspace(np.finfo(dtype).tiny, large, 20001).astype(dtype)
    grid = np.linspace(-110, 110, 200001, dtype=dtype)
    return np.concatenate([steps, -steps, grid, np.array([0.0, -0.0], dtype)])


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_over_the_whole_range(functions, name, dtype):
    x = whole_range(dtype)
    with np.errstate(all="ignore"):
        want = REFERENCE[name](x.astype(np.longdouble)).astype(dtype).astype(np.float64)
    got = apply(functions, name, x).astype(np.float64)
    infinite = ~np.isfinite(want)
    np.testing.assert_array_equal(got[infinite], want[infinite])
    got, want = got[~infinite], want[~infinite]
    error = np.abs(got - want) / np.maximum(1, np.abs(want))
    bound = 1e-6 if dtype == "float32" else 1e-13
    if name == "sin" or name == "cos":  # numpy's own reduction is in the type of the argument
        bound = max(bound, 1e-12)
    worst = x[~infinite][error.argmax()]
    assert error.max() <= bound, f"{error.max():.3g} at {worst!r}"


# units in the last place, as functions.py says
PRECISE = {"sqrt": 0.5, "log": 1.0, "erf": 3.0}


@pytest.mark.parametrize("name", PRECISE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_that_are_precise_to_the_last_places(functions, name, dtype):
    kind, rng = np.finfo(dtype), np.random.default_rng(2)
    parts = [
        np.exp(rng.uniform(np.log(kind.tiny), np.log(kind.max) * 0.999, 800)),
        rng.uniform(0, 8, 1500),
        1 + rng.normal(0, 1e-3, 500),
        kind.smallest_subnormal * rng.integers(1, 2**20, 200).astype(dtype),
        np.array([0.0, kind.tiny, kind.max, 1.0]),
    ]
    x = np.concatenate(parts).astype(dtype)
    x = np.concatenate([x, -x])
    context = mpmath.MPContext()
    context.prec = 120
    for a, value in zip(x.tolist(), apply(functions, name, x).tolist(), strict=True):
        truth = PRIMITIVES[name].mpmath(context, context.mpf(a))
        if not context.isfinite(truth):
            assert value == truth or (context.isnan(truth) and np.isnan(value))
            continue
        last = float(np.spacing(np.array(abs(float(truth)), dtype)))
        # a little more than half, for the last place of the truth is that of its rounded value
        assert abs(context.mpf(value) - truth) <= max(PRECISE[name], 0.50001) * last, a


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_infinities_and_nan(functions, name, dtype):
    x = np.array([np.inf, -np.inf, np.nan], dtype)
    got = apply(functions, name, x)
    if name == "heaviside":  # only in derivatives, where a NaN comes in by the other factor
        x, got = x[:2], got[:2]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got, REFERENCE[name](x.astype(np.float64)), atol=1e-30)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_two_numbers(functions, name, dtype):
    edges = np.array([0.0, -0.0, 1.5, -2.0, 1e30, np.inf, -np.inf, np.nan], dtype)
    x, y = (a.ravel().copy() for a in np.meshgrid(edges, edges))
    with np.errstate(all="ignore"):
        want = PAIRS[name](x.copy(), y)
    pointer = toolchain.ctypes.c_void_p
    getattr(functions[dtype], f"f_{name}")(
        pointer(x.ctypes.data), pointer(y.ctypes.data), toolchain.ctypes.c_long(len(x))
    )
    np.testing.assert_allclose(x, want, rtol=1e-6)


CUBE = replace(
    PRIMITIVES["square"],
    name="cube",
    numpy=lambda a: a**3,
    c="",
    same_as="",
    torch="{0} * {0} * {0}",
    derivative=("3 * a * a",),
    parity=-1,
)


def test_a_primitive_without_c_runs_on_eager_and_says_so(monkeypatch, capsys):
    monkeypatch.setitem(PRIMITIVES, "cube", CUBE)
    notice.cache_clear()
    text = "cell q\ninput x\nstate h\nh[t] = tanh(cube(W @ x[t] + U @ h[t-1]))\noutput h\n"
    program = lower(odyssey.parse_cell(text))
    name, _ = build_layer(program, "auto", population=False, masked=False)
    assert name == "eager"
    assert "q uses cube, which native code does not have" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="cube"):
        build_layer(program, "native", population=False, masked=False)
    # before the loop it runs in torch, in whatever way the row spells it
    text = text.replace("cube(W @ x[t] + U @ h[t-1])", "W @ cube(x[t]) + U @ h[t-1]")
    models = [odyssey.RNN(odyssey.parse_cell(text), 3, 4, backend=b) for b in ("native", "eager")]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.randn(3, 2, 3)
    torch.testing.assert_close(models[0](x)[0], models[1](x)[0])


@pytest.mark.parametrize("spec", ["lstm_peephole", "gru", "elman_relu"])
@pytest.mark.parametrize(
    ("hidden", "steps", "batch"),
    [
        (1, 1, 1),
        (2, 3, 7),
        (15, 2, 5),
        (16, 4, 6),
        (17, 1, 13),
        (33, 5, 1),
        (64, 2, 9),
        (130, 2, 3),
    ],
)
def test_odd_sizes(spec, hidden, steps, batch, shipped):
    compare(spec, size=3, hidden=hidden, steps=steps, batch=batch)
    compare(spec, size=3, hidden=hidden, steps=steps, batch=batch, dtype=torch.float32)


@pytest.mark.parametrize("spec", REPRESENTATIVES)
def test_every_cell_in_single_precision(spec, shipped):
    square = lower(odyssey.get_cell(spec)).square
    compare(spec, size=21 if square else 3, hidden=21, steps=4, batch=9, dtype=torch.float32)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("hidden", [[5, 5, 5], [3, 20, 16], 48])
def test_populations(hidden, classes):
    population = 3 if isinstance(hidden, list) else 2
    for spec in ("lstm", "gru_torch"):
        compare(
            spec, size=6, hidden=hidden, steps=4, batch=3, population=population, classes=classes
        )


TEXTS = {
    "no value at zero, which units hold that a member does not have": """cell e
input x
state h
g    = log(abs(W @ x[t] + U @ h[t-1] + b)) + sqrt(abs(V @ x[t] + q * h[t-1] + d))
h[t] = tanh(g)
output h
""",
    "products of an intermediate of input size": """cell a
input x
state h
e    = sigmoid(R @ h[t-1]) * x[t]
h[t] = tanh(W @ e + p * h[t-1] + b)
output h
""",
    "elementwise recurrence": """cell ind
input x
state h
h[t] = relu(W @ x[t] + u * h[t-1] + b)
output h
""",
    "no recurrence": """cell none
input x
not recurrent
f = sigmoid(W @ x[t] + b)
h = f * tanh(V @ x[t])
output h
""",
    "three stages and a tied matrix": """cell deep
input x
state h, m
a    = tanh(W @ x[t] + U @ h[t-1])
d    = tanh(U @ a + Q @ m[t-1])
h[t] = tanh(V @ d + U @ h[t-1])
m[t] = h[t-1]
output h
""",
    "a state that only the input writes": """cell delay
input x
state m, h
m[t] = W @ x[t]
h[t] = tanh(U @ h[t-1] + m[t-1])
output h
""",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_kinds_of_cells(text, tmp_path):
    path = tmp_path / "one.cell"
    path.write_text(text)
    compare(str(path), size=5, hidden=18, steps=4, batch=3)
    compare(str(path), size=5, hidden=[18, 7], steps=4, batch=3, population=2)


@pytest.mark.parametrize("spec", REPRESENTATIVES)
def test_gradcheck(spec):
    torch.manual_seed(11)
    size = 3 if lower(odyssey.get_cell(spec)).square else 2
    model = rnn(spec, size, 3, backend="native", dtype=torch.float64)
    x = torch.randn(3, 2, size, dtype=torch.float64, requires_grad=True)
    state = tuple(s.normal_().requires_grad_() for s in model.start_state(2))
    parameters = list(model.parameters())

    def run(x, *rest):
        y, final = model(x, rest[: len(state)])
        return (y, *final)

    assert torch.autograd.gradcheck(run, (x, *state, *parameters))


def test_manners():
    model = rnn("lstm", 4, 20, 2, backend="native")
    assert model.backend == "native"
    x = torch.randn(3, 6, 4).transpose(0, 1)
    y, state = model(x)
    torch.testing.assert_close(model(x.contiguous())[0], y)
    with torch.no_grad():
        without, final = model(x)
    assert not without.requires_grad
    for a, b in zip((without, *final), (y, *state), strict=True):
        torch.testing.assert_close(a, b.detach())
    other = copy.deepcopy(model)
    assert torch.equal(other(x)[0], y)
    other.load_state_dict(model.state_dict())
    carried = tuple(s.detach() for s in state)
    torch.testing.assert_close(
        torch.cat([model(x[:2])[0], model(x[2:], model(x[:2])[1])[0]]), y, rtol=1e-5, atol=1e-6
    )
    assert model(x, carried)[0].shape == y.shape
    before = y.detach().clone()
    (y**2).sum().backward()
    assert torch.equal(y, before)


def test_second_derivatives_are_refused():
    model = rnn("elman", 3, 4, backend="native", dtype=torch.float64)
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ConfigError, match="second derivatives"):
        torch.autograd.grad(model(x)[0].sum(), x, create_graph=True)


def test_half_precision_runs_on_eager():
    model = rnn("gru", 3, 4, backend="native", dtype=torch.bfloat16)
    y, _ = model(torch.randn(3, 2, 3, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16


def test_denormals_are_flushed_and_the_mode_restored(tmp_path):
    path = tmp_path / "decay.cell"
    path.write_text("cell d\ninput x\nstate h\nh[t] = 0.001 * h[t-1] + 0 * (W @ x[t])\noutput h\n")
    model = rnn(str(path), 3, 4, backend="native")
    y, _ = model(torch.zeros(20, 1, 3), (torch.ones(1, 1, 4),))
    tiny = torch.finfo(torch.float32).tiny
    assert ((y == 0) | (y.abs() >= tiny)).all()
    assert float(torch.tensor(1e-30) * torch.tensor(1e-10)) > 0


def test_the_gradient_arrives_whatever_is_used():
    model = rnn("lstm", 3, 4, backend="native", dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    model(x)[1][1].sum().backward()  # only the final state
    from_state = x.grad.clone()
    assert from_state.abs().sum() > 0
    for p in model.parameters():
        p.requires_grad_(False)
    x.grad = None
    model(x)[1][1].sum().backward()
    assert torch.equal(x.grad, from_state)


# the build


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "_UNCACHED", {})
    toolchain._notice.cache_clear()
    native._check.cache_clear()
    notice.cache_clear()
    yield tmp_path / "cache" / "native"
    native._check.cache_clear()
    notice.cache_clear()


def test_only_what_is_shipped_is_optimised(shipped):
    assert "-O0" not in toolchain.compiler()


def test_a_broken_entry_is_built_anew(cache):
    toolchain.load(native.PROBE)
    (path,) = cache.glob("*.so")
    whole = path.read_bytes()
    for broken in (b"", b"no library", whole[: len(whole) // 2]):
        path.unlink()  # the loaded file must stay as it is
        path.write_bytes(broken)
        toolchain.load(native.PROBE)
        assert path.read_bytes()[:4] == whole[:4]
        assert len(path.read_bytes()) == len(whole)
    assert [p.name for p in cache.iterdir()] == [path.name]


def test_the_cache_is_bounded(cache, monkeypatch):
    monkeypatch.setattr(toolchain, "MAX_FILES", 2)
    for k in range(4):
        toolchain.load(native.PROBE + f"/* {k} */\n")
    assert len(list(cache.glob("*.so"))) == 2


def test_what_a_killed_build_left_goes(cache):
    toolchain.load(native.PROBE)
    left, fresh = cache / "a.tmp", cache / "b.tmp"
    left.touch()
    fresh.touch()
    os.utime(left, (0, 0))
    toolchain.load(native.PROBE + "/* another */\n")
    assert not left.exists()
    assert fresh.exists()


def refuse_writing(folder, monkeypatch):
    def refused(*arguments, dir=None, **more):
        if dir is not None and Path(dir) == folder:
            raise PermissionError(13, "Permission denied", str(dir))
        return made(*arguments, dir=dir, **more)

    made = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", refused)


def damage_file(folder, monkeypatch):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("no folder")


def open_to_all(folder, monkeypatch):
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)


def give_away(folder, monkeypatch):
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    if os.getuid() == 0:
        os.chown(folder, 4243, -1)


UNUSABLE = {
    "it cannot be written": (refuse_writing, "cannot be written"),
    "it is a file": (damage_file, "cannot be used"),
    "others may write": (open_to_all, "can be written by other users"),
    "it is another user's": (give_away, "belongs to another user"),
}


@pytest.mark.parametrize("backend", ["auto", "native"])
@pytest.mark.parametrize("case", UNUSABLE)
def test_a_cache_that_cannot_be_used(cache, monkeypatch, tmp_path, capsys, case, backend):
    make, message = UNUSABLE[case]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    make(cache, monkeypatch)
    before = sorted(cache.glob("*")) if cache.is_dir() else []
    program = lower(odyssey.get_cell("elman"))
    for population in (False, True):
        name, layer = build_layer(program, backend, population=population, masked=False)
        assert name == "native"
        layer.kernel(torch.float32)
    line, *more = capsys.readouterr().err.splitlines()
    assert message in line
    assert not more
    assert not list(temporary.iterdir())
    assert (sorted(cache.glob("*")) if cache.is_dir() else []) == before


def test_a_library_that_others_may_write_is_not_loaded(cache):
    toolchain.load(native.PROBE)
    (path,) = cache.glob("*.so")
    assert path.stat().st_mode & 0o777 == 0o700
    assert cache.stat().st_mode & 0o077 == 0
    for mode in (0o720, 0o702):
        path.chmod(mode)
        before = path.stat().st_ino
        toolchain.load(native.PROBE)
        assert path.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_ino != before  # built anew


def test_a_planted_library_is_not_loaded(cache, monkeypatch):
    toolchain.load(native.PROBE)
    (path,) = cache.glob("*.so")
    opened = []
    load = toolchain._open
    monkeypatch.setattr(toolchain, "_open", lambda p, e: opened.append(p) or load(p, e))
    elsewhere = path.with_name("planted")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    toolchain.load(native.PROBE)
    assert path not in opened
    path.unlink()
    os.mkfifo(path)
    toolchain.load(native.PROBE)
    assert path not in opened
    if os.getuid() == 0:
        os.chown(path, 4243, -1)
        toolchain.load(native.PROBE)
        assert path not in opened
    toolchain.load(native.PROBE)
    assert path in opened


RACE = """
import os, sys, traceback
import torch
import odyssey
from support.representatives import REPRESENTATIVES

cells = [odyssey.get_cell(name) for name in REPRESENTATIVES]
ready, go = os.pipe()
for number in range(4):
    if os.fork() == 0:
        try:
            os.close(go)
            os.read(ready, 1)  # until the parent lets all of them go
            # all want the first two at once; then they begin at different cells and catch up
            first, rest = cells[:2], cells[2:]
            start = number * len(rest) // 4
            for cell in first + rest[start:] + rest[:start]:
                model = odyssey.RNN(cell, 4, 4, backend="native")
                model(torch.randn(3, 2, 4))[0].sum().backward()
                assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
os.close(ready)
os.close(go)
codes = [os.waitpid(-1, 0)[1] for _ in range(4)]
sys.exit(f"children ended with {codes}" if any(codes) else 0)
"""


@pytest.mark.slow
def test_four_processes_want_the_same_cells(cache, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RACE],
        env=environment(CC=f"{toolchain.compiler()[0]} -O0"),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        len(list(cache.glob("*.so"))) == len(REPRESENTATIVES) + 2
    )  # what they share, and the probe
    assert {p.suffix for p in cache.iterdir()} == {".so"}


@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
def test_without_a_compiler(cache, monkeypatch, capsys, compiler):
    monkeypatch.setenv("CC", compiler)
    program = lower(odyssey.get_cell("elman"))
    for _ in range(2):
        name, _ = build_layer(program, "auto", population=False, masked=False)
        assert name == "eager"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "eager backend" in lines[0]
    with pytest.raises(ConfigError, match="CC"):
        build_layer(program, "native", population=False, masked=False)


def test_that_there_was_no_compiler_is_not_remembered(cache, monkeypatch):
    elman = odyssey.get_cell("elman")
    with monkeypatch.context() as without:
        without.setenv("PATH", "")
        assert odyssey.RNN(elman, 2, 3).backend == "eager"
        assert "apt install gcc" in native.missing()
    assert not native.missing()
    assert odyssey.RNN(elman, 2, 3).backend == "native"
    monkeypatch.setenv("CC", "false")
    assert odyssey.RNN(elman, 2, 3).backend == "eager"


def test_that_a_compiler_failed_is_not_remembered(cache, monkeypatch, tmp_path):
    elman, full = odyssey.get_cell("elman"), tmp_path / "full"
    script = tmp_path / "cc"
    script.write_text(f'#!/bin/sh\n! [ -e {full} ] && exec {toolchain.compiler()[0]} "$@"\n')
    script.chmod(0o755)
    full.touch()  # as a disk may be
    monkeypatch.setenv("CC", f"{script} -O0")
    assert odyssey.RNN(elman, 2, 3).backend == "eager"
    full.unlink()
    assert odyssey.RNN(elman, 2, 3).backend == "native"


def test_no_compiler_at_all(cache, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(toolchain.BuildError, match="apt install gcc"):
        toolchain.compiler()


@pytest.mark.parametrize("spec", golden.SPECS)
def test_golden_source(spec):
    path = golden.FOLDER / f"{spec}.c"
    changed = "generated code has changed; `make golden` rewrites it"
    assert path.read_text() == golden.golden_source(spec), changed
