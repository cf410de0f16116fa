"""What a measurement was made on."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path

import torch

from odyssey.compiler.backends.native import toolchain, tuning
from odyssey.speed.instructions import describe_others


def describe_machine() -> dict[str, str]:
    """Names processor, clock, instruction set, compiler and torch; leaves out what is unknown.

    `target` is the instruction set that code is generated for, and `other libraries` says whether
    the others are held to it, where it was chosen.
    """
    lines = toolchain.processor().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    command = toolchain.compiler()
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    described = {
        "processor": f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores",
        "clock": read_clock(_cpuinfo()),
        "target": toolchain.target(),
        "other libraries": describe_others(),
        "tilings": tuning.origin("float32", toolchain.target()),
        "compiler": (told.stdout.splitlines() or [" ".join(command)])[0],
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": "1",
        "dtype": "float32",
    }
    return {name: text for name, text in described.items() if text}


def read_clock(cpuinfo: str) -> str:
    """Gives the clock of the fastest core in GHz, of the text of /proc/cpuinfo; nothing without.

    A virtual machine may report a clock that does not move.
    """
    values = [line.partition(":")[2] for line in cpuinfo.splitlines() if line.startswith("cpu MHz")]
    return f"{max(map(float, values)) / 1e3:.2f} GHz" if values else ""


def _cpuinfo() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/cpuinfo").read_text()
    return ""
