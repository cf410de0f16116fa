"""What works on this machine, and what to do about what does not."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
from typing import Any, NamedTuple

from odyssey.errors import ConfigError
from odyssey.threads import count_cores

PACKAGES = ("torch", "ray", "numpy", "scipy", "sympy", "pandas", "pyarrow", "matplotlib", "seaborn")


class Checkup(NamedTuple):
    """One check: what, whether it works, what there is, and what to do about it."""

    check: str
    works: bool
    found: str
    do: str


def examine() -> list[Checkup]:
    """Tries everything that Odyssey needs."""
    return [
        *_versions(),
        _compiler(),
        _tilings(),
        _threads(),
        _plugins(),
        _devices(),
        _layer(),
        _ray(),
        _data(),
    ]


def _versions() -> list[Checkup]:
    checks: list[Checkup] = [Checkup("python", True, platform.python_version(), "")]
    for name in PACKAGES:
        try:
            module: Any = importlib.import_module(name)
            checks.append(Checkup(name, True, str(module.__version__), ""))
        except ImportError as error:
            checks.append(Checkup(name, False, str(error).splitlines()[0], f"pip install {name}"))
    return checks


def _compiler() -> Checkup:
    from odyssey.compiler.backends.native import toolchain

    try:
        command = toolchain.compiler()
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        return Checkup("C compiler", True, (done.stdout or command[0]).splitlines()[0], "")
    except toolchain.BuildError:
        pass
    return Checkup(
        "C compiler", True, "none: cells run on the slower eager backend", "install gcc or clang"
    )


def _tilings() -> Checkup:
    from odyssey.compiler.backends.native import toolchain, tuning

    try:
        target = toolchain.target()
    except ConfigError as error:
        return Checkup("tilings", False, str(error), "unset ODYSSEY_TARGET")
    origins = {dtype: tuning.origin(dtype, target) for dtype in ("float32", "float64")}
    found = f"{target}: " + ", ".join(f"{dtype} {origin}" for dtype, origin in origins.items())
    tuned = origins["float32"] != tuning.BUILT_IN
    return Checkup("tilings", True, found, "" if tuned else "odyssey tune, if speed matters")


def _plugins() -> Checkup:
    """Loads what installed packages name as plug-ins."""
    from odyssey import plugins

    found = plugins.installed()
    if not found:
        off = os.environ.get(plugins.SWITCH) == "none"
        return Checkup("plug-ins", True, "left out" if off else "no package has any", "")
    faults = [f"{name}: {error}" for name, error in found.items() if error]
    digests = {source.name: source.sha256[:12] for source in plugins.loaded()}
    names = (name.partition(":")[0] for name, error in found.items() if not error)
    shown = ", ".join(f"{name} (sha256 {digests[name]})" for name in names)
    do = f"put it right, or set {plugins.SWITCH}=none" if faults else ""
    return Checkup("plug-ins", not faults, "; ".join(filter(None, [shown, *faults])), do)


def _threads() -> Checkup:
    return Checkup("processors", True, f"{count_cores()} usable; one thread a trial", "")


def _devices() -> Checkup:
    try:
        from odyssey.training.devices import devices_here

        return Checkup("devices", True, ", ".join(devices_here()), "")
    except ImportError as error:
        return Checkup("devices", False, str(error).splitlines()[0], "reinstall torch")


def _layer() -> Checkup:
    try:
        import torch

        from odyssey.compiler import RNN
        from odyssey.specs import get_cell

        rnn = RNN(get_cell("lstm"), 3, 4)
        rnn(torch.zeros(2, 1, 3))[0].sum().backward()
        return Checkup("compiled cell", True, f"lstm runs on backend {rnn.backend}", "")
    except Exception as error:
        return Checkup(
            "compiled cell", False, f"{type(error).__name__}: {error}"[:200], "reinstall torch"
        )


def _ray() -> Checkup:
    from odyssey.studies.runners.ray import probe

    try:
        return Checkup("Ray", True, probe(), "")
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return Checkup(
            "Ray", False, text, "use --runner local, or reinstall: pip install 'ray[tune]'"
        )


def _data() -> Checkup:
    from odyssey.tasks.download import data_dir, list_datasets

    folder = data_dir()
    present = [str(s["name"]) for s in list_datasets() if s["present"]]
    parent = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    found = f"{folder}: {', '.join(present) or 'empty'}"
    if folder.exists() or os.access(parent, os.W_OK):
        return Checkup(
            "data folder", True, found, "" if present else "odyssey data get tinyshakespeare"
        )
    return Checkup("data folder", False, f"{folder} cannot be made", "set ODYSSEY_DATA to a folder")
