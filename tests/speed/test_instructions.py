"""Every library is held to the instruction set that is asked for, or it is said that it is not."""

import json
import subprocess
import sys

import pytest

from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.errors import ConfigError
from odyssey.speed.instructions import OTHERS, describe_others, hold_to
from odyssey.speed.machine import describe_machine, read_clock

VARIABLES = sorted({name for variables in OTHERS.values() for name in variables})


@pytest.fixture
def free(monkeypatch):
    for name in ("ODYSSEY_TARGET", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_instruction_sets_are_targets():
    assert set(OTHERS) <= set(TARGETS)
    assert list(OTHERS) == [name for name in TARGETS if name in OTHERS]


@pytest.mark.parametrize("target", OTHERS)
def test_all_are_held_or_what_is_not_is_named(free, target):
    assert describe_others() == ""
    free.setenv("ODYSSEY_TARGET", target)
    for name, value in OTHERS[target].items():
        assert describe_others().startswith(f"not held to {target} (see ")
        assert name in describe_others()
        free.setenv(name, value)
    assert describe_others() == f"held to {target}"
    free.setenv("OPENBLAS_CORETYPE", "Atom")
    assert describe_others() == f"not held to {target} (see OPENBLAS_CORETYPE)"


def test_vectors_that_are_no_instruction_set(free):
    free.setenv("ODYSSEY_TARGET", "plain")
    assert describe_others() == "not held to plain"


def test_what_is_loaded_cannot_be_held_any_more():
    with pytest.raises(ConfigError, match="before torch is loaded"):
        hold_to("avx2")
    with pytest.raises(ConfigError, match="no instruction set called 'avx3'; closest: avx2"):
        hold_to("avx3")


def test_the_machine(free):
    described = describe_machine()
    assert described["target"] == toolchain.target()
    assert "other libraries" not in described
    assert all(described.values())


def test_the_clock():
    text = "processor : 0\ncpu MHz\t\t: 2599.998\n\nprocessor : 1\ncpu MHz\t\t: 3112.5\n"
    assert read_clock(text) == "3.11 GHz"
    assert read_clock("processor : 0\nBogoMIPS : 48.00\n") == ""


@pytest.mark.slow
@pytest.mark.parametrize(("target", "torchs"), [("avx2", "AVX2"), ("sse2", "DEFAULT")])
def test_torch_does_as_it_is_told(free, tmp_path, target, torchs):
    if target not in toolchain.able_targets():
        pytest.skip(f"this processor has no {target}")
    # the section `train` is called like a command, whose module loads numpy
    small = ["--quick", "--rounds", "1", "--steps", "4", "--hidden", "5", "--batch", "2"]
    command = ["bench", "train", *small, "--target", target, "--keep", str(tmp_path), "--json"]
    code = f"import sys; sys.path[:] = {sys.path!r}; from odyssey.cli.main import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(main({command!r}))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    machine = json.loads(done.stdout)["machine"]
    assert machine["target"] == target
    assert machine["torch"].endswith(f", {torchs}")
    assert machine["other libraries"] == f"held to {target}"
    page, record = sorted(tmp_path.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert page.name.endswith(f"-bench-{target}.md")
    assert record.name == page.with_suffix(".json").name
    assert json.loads(record.read_text("utf-8"))["machine"] == machine
