"""The file of measured tilings, and that no number depends on a tiling."""

import datetime
import json
import os

import pytest
import torch
from support.comparing import gradients, rnn

from odyssey.compiler import layers
from odyssey.compiler.backends.base import ReadoutInputs
from odyssey.compiler.backends.native import NATIVE, toolchain, tuning
from odyssey.compiler.backends.native.call import kernel, training_step
from odyssey.compiler.backends.native.targets import MOST_TILE, TARGETS, Tiling
from odyssey.errors import ConfigError

DAY = datetime.date(2026, 1, 31)
HERE = toolchain.target()
FIRST, SECOND, *_ = TARGETS[HERE].tilings
CHOICES = (tuning.Choice(32, 16, FIRST), tuning.Choice(128, 64, SECOND))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; what was read before is forgotten, then and afterwards."""
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "cache"))
    tuning.reread()
    tuning._notice.cache_clear()
    yield tmp_path / "cache" / "native"
    tuning.reread()
    tuning._notice.cache_clear()


@pytest.fixture
def new_kernels():
    """Code that is made anew, then and afterwards."""
    kernel.forget()
    layers._built.cache_clear()
    yield
    kernel.forget()
    layers._built.cache_clear()


def write(dtype="float32", choices=CHOICES):
    return tuning.write_tuning(dtype, HERE, choices, date=DAY)


# tilings


@pytest.mark.parametrize("name", TARGETS)
def test_tilings_fit_the_registers(name):
    target = TARGETS[name]
    assert 4 <= len(target.tilings) <= 8
    assert len({t.name for t in target.tilings}) == len(target.tilings)
    for tiling in target.tilings:
        assert target.tiling(tiling.name) is tiling
        assert 1 <= tiling.wide <= 4
        for wide, rows in enumerate(tiling.rows, start=1):
            assert wide * rows <= MOST_TILE
            assert wide * rows + wide + 1 <= target.registers
    assert target.tiling("1x1h1") is None


def layer(spec, hidden, batch, dtype, tiling):
    """Gives outputs and gradients of a layer whose products are cut in one way."""
    torch.manual_seed(3)
    model = rnn(spec, hidden + 3, hidden, backend="native", dtype=dtype)
    x = torch.randn(9, batch, hidden + 3, dtype=dtype, requires_grad=True)
    state = tuple(torch.randn_like(s).requires_grad_() for s in model.start_state(batch))
    used = kernel.code_of(model.program).kernel(dtype)
    used.use(tiling)
    try:
        return gradients(model, x, state)
    finally:
        used.use(None)


# several blocks of a product, few rows at a time, strips that end elsewhere
SMALL = (Tiling(FIRST.rows, 16, 1), Tiling((3, 2), 8, 4))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("target", toolchain.able_targets())
def test_no_bit_depends_on_the_tiling(target, dtype, shipped, monkeypatch):
    monkeypatch.setenv("ODYSSEY_TARGET", target)
    first, *others = TARGETS[target].tilings
    for spec, hidden, batch in (("lstm", 100, 20), ("gru", 48, 1), ("elman", 13, 7)):
        expected = layer(spec, hidden, batch, dtype, first)
        for tiling in (*others, *SMALL):
            found = layer(spec, hidden, batch, dtype, tiling)
            for a, b in zip(expected, found, strict=True):
                assert torch.equal(a, b), (spec, hidden, batch, tiling.name)


def test_no_bit_of_the_readout_depends_on_the_tiling(shipped, monkeypatch):
    H, V = 45, 37
    torch.manual_seed(3)
    h, w, b = torch.randn(2, 11, 7, H), torch.randn(2, V, H), torch.randn(2, V)
    target = torch.randint(V, (2, 11, 7))
    inputs: ReadoutInputs = (h, w, b, target, torch.ones_like(target, dtype=torch.bool))
    found = []
    for tiling in (*TARGETS[HERE].tilings, *SMALL):
        monkeypatch.setattr(training_step, "tiling_for", lambda *_, t=tiling: t)
        readout = training_step.NativeReadout([H, H - 8], "classes", V)
        nll, grads = readout.differentiate(inputs, torch.ones(2, dtype=torch.float64))
        found.append([nll.clone(), *(g.clone() for g in grads)])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


# the file


def test_without_a_file_tilings_are_built_in(cache, capsys):
    assert tuning.tiling_for("float32", HERE, 64, 16) == FIRST
    assert tuning.origin("float32", HERE) == "built in"
    assert NATIVE.facts(torch.float32) == f"code for {HERE}, tilings built in"
    assert not cache.exists()
    assert capsys.readouterr().err == ""


def test_what_was_measured_is_used(cache, new_kernels):
    path = write()
    assert [p.name for p in cache.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o077 == 0
    digest = json.loads(path.read_text())["digest"]
    assert tuning.origin("float32", HERE) == f"tuned 2026-01-31 {digest[:8]}"
    assert tuning.tiling_for("float32", HERE, 128, 64) == SECOND
    assert tuning.origin("float64", HERE) == "built in"
    model = rnn("elman", 3, 100, backend="native")
    model(torch.zeros(2, 70, 3))
    used = kernel.code_of(model.program).kernel(torch.float32)
    assert used.tiling(kernel.Shape(2, 70, 3, (100,))) == SECOND
    assert used.tiling(kernel.Shape(2, 1, 3, (10, 12))) == FIRST
    write(choices=[tuning.Choice(1, 1, FIRST)])
    assert tuning.tiling_for("float32", HERE, 128, 64) == SECOND  # what this process began with
    assert tuning.remove_tunings() == [path]
    assert tuning.remove_tunings() == []
    tuning.reread()
    assert tuning.origin("float32", HERE) == "built in"


@pytest.mark.parametrize(
    ("hidden", "batch", "nearest"),
    [(1, 1, 0), (32, 16, 0), (60, 31, 0), (128, 64, 1), (70, 40, 1), (4096, 4096, 1), (32, 60, 0)],
)
def test_the_nearest_size_is_that_of_ratios(hidden, batch, nearest):
    measured = tuning.Tuning(CHOICES, "2026-01-31", "")
    assert measured.nearest(hidden, batch) == CHOICES[nearest].tiling


def cut(path, data):
    path.write_text(path.read_text()[:-9])


def change(**fields):
    """Changes fields, and seals the file again as this version would."""

    def damage(path, data):
        data.pop("digest")
        data |= fields
        path.write_text(json.dumps({**data, "digest": tuning._digest(data)}))

    return damage


def unseal(path, data):
    path.write_text(json.dumps(data | {"date": "2026-02-01"}))


def text(content):
    return lambda path, data: path.write_text(content)


def folder(path, data):
    path.unlink()
    path.mkdir()


def link(path, data):
    path.rename(path.with_suffix(".old"))
    path.symlink_to(path.with_suffix(".old"))


ROW = {"hidden": 32, "batch": 16, "tiling": FIRST.name}
DAMAGES = {
    "cut": (cut, "it is damaged"),
    "empty": (text(""), "it is damaged"),
    "list": (text("[]"), "it is damaged"),
    "deep": (text("[" * 100_000), "it is damaged"),
    "bytes": (lambda path, data: path.write_bytes(b"\xff\x00"), "it is damaged"),
    "unsealed": (unseal, "it is damaged"),
    "date": (change(date="soon"), "it is damaged"),
    "nothing": (change(choices=[]), "it is damaged"),
    "zero": (change(choices=[ROW | {"hidden": 0}]), "it is damaged"),
    "truth": (change(choices=[ROW | {"batch": True}]), "it is damaged"),
    "version": (change(format=2), "another version"),
    "target": (change(target="avx"), "another processor, target or dtype"),
    "processor": (change(processor="0"), "another processor, target or dtype"),
    "dtype": (change(dtype="float64"), "another processor, target or dtype"),
    "tiling": (change(choices=[ROW | {"tiling": "99x1h1"}]), "this version does not have"),
    "folder": (folder, "no regular file"),
    "link": (link, ""),
    "mode": (lambda path, data: path.chmod(0o666), "can be written by other users"),
    "owner": (lambda path, data: os.chown(path, 4243, -1), "belongs to another user"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_that_cannot_be_trusted_is_not_used(cache, capsys, name):
    damage, reason = DAMAGES[name]
    if name == "owner" and os.geteuid():
        pytest.skip("only root gives files away")
    path = write(choices=CHOICES[1:])
    damage(path, json.loads(path.read_text()))
    for _ in range(2):
        assert tuning.tiling_for("float32", HERE, 128, 64) == FIRST
        assert tuning.origin("float32", HERE) == "built in"
        tuning.reread()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"odyssey: {path.name} is not used: ")
    assert reason in line


def test_a_cache_that_cannot_be_used_is_refused(cache, monkeypatch):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(ConfigError, match="can be written by other users"):
        write()
    assert list(cache.iterdir()) == []
    cache.chmod(0o700)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        write()
    assert list(cache.iterdir()) == []  # nothing half-written


def refuse(*arguments):
    raise OSError(28, "No space left on device")
