"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import subprocess

import torch

from odyssey.compiler.backends.native import toolchain, tuning


def describe_machine() -> dict[str, str]:
    """Names the processor, the vectors and tilings of its code, the compiler and torch."""
    lines = toolchain.processor().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    command = toolchain.compiler()
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return {
        "processor": f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores",
        "target": toolchain.target(),
        "tilings": tuning.origin("float32", toolchain.target()),
        "compiler": (told.stdout.splitlines() or [" ".join(command)])[0],
        "torch": torch.__version__,
        "threads": "1",
        "dtype": "float32",
    }
