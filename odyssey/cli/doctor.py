"""`odyssey doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import subprocess
from typing import Any

from odyssey.cli.printing import print_json, print_rows

PACKAGES = ("torch", "ray", "numpy", "scipy", "sympy", "pandas", "pyarrow", "matplotlib", "seaborn")


def run(args: argparse.Namespace) -> int:
    """Prints the checks; gives 1 if something that is needed does not work."""
    checks = [*_versions(), _compiler(), _threads(), _layer(), _ray(), _data()]
    rows = [{"check": c, "works": ok, "found": found, "do": do} for c, ok, found, do in checks]
    if args.json:
        print_json(rows)
    else:
        print_rows([{**r, "works": "yes" if r["works"] else "NO"} for r in rows])
    return 0 if all(r["works"] for r in rows) else 1


Check = tuple[str, bool, str, str]


def _versions() -> list[Check]:
    checks: list[Check] = [("python", True, platform.python_version(), "")]
    for name in PACKAGES:
        try:
            module: Any = importlib.import_module(name)
            checks.append((name, True, str(module.__version__), ""))
        except ImportError as error:
            checks.append((name, False, str(error).splitlines()[0], f"pip install {name}"))
    return checks


def _compiler() -> Check:
    from odyssey.compiler.backends.native import toolchain

    try:
        command = toolchain.compiler()
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        return "C compiler", True, (done.stdout or command[0]).splitlines()[0], ""
    except toolchain.BuildError:
        pass
    return "C compiler", True, "none: cells run on the slower eager backend", "install gcc or clang"


def _threads() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return "processors", True, f"{cores} usable; one thread a trial", ""


def _layer() -> Check:
    try:
        import torch

        from odyssey.compiler import RNN
        from odyssey.specs import get_cell

        rnn = RNN(get_cell("lstm"), 3, 4)
        rnn(torch.zeros(2, 1, 3))[0].sum().backward()
        return "compiled cell", True, f"lstm runs on backend {rnn.backend}", ""
    except Exception as error:
        return "compiled cell", False, f"{type(error).__name__}: {error}"[:200], "reinstall torch"


def _ray() -> Check:
    from odyssey.studies.runners.ray import probe

    try:
        return "Ray", True, probe(), ""
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return "Ray", False, text, "use --runner local, or reinstall: pip install 'ray[tune]'"


def _data() -> Check:
    from odyssey.tasks.download import data_dir, list_datasets

    folder = data_dir()
    present = [str(s["name"]) for s in list_datasets() if s["present"]]
    parent = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    found = f"{folder}: {', '.join(present) or 'empty'}"
    if folder.exists() or os.access(parent, os.W_OK):
        return "data folder", True, found, "" if present else "odyssey data get tinyshakespeare"
    return "data folder", False, f"{folder} cannot be made", "set ODYSSEY_DATA to a folder"
