"""Where a population is trained: the CPU, or a device that torch knows beside it.

What is drawn is drawn on the CPU, from the streams of the members, and moved: weights, batches,
masks and noise are the same numbers on every device. A device works while Python goes on, until a
number is read from it; what moves there does so without waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from odyssey.device_names import CPU, check_device_name
from odyssey.errors import ConfigError


def find_device(name: str) -> torch.device:
    """Gives a device by its name.

    Raises:
        ConfigError: There is no such device here; the message says what torch sees.
    """
    check_device_name(name)
    device = torch.device(name)
    if device.type == CPU:
        return device
    there = devices_here()
    if name not in there and (device.type, device.index) not in _first(there):
        raise ConfigError(
            f"no device {name!r} here: torch {torch.__version__} sees {', '.join(there)}"
        )
    return device


def devices_here() -> list[str]:
    """Names the devices that torch sees, the CPU first."""
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [CPU, *(f"cuda:{number}" for number in range(cuda)), *mps]


def _first(there: list[str]) -> set[tuple[str, int | None]]:
    """Gives the devices that a name without a number is for."""
    return {(name.partition(":")[0], None) for name in there}


def processor_of(device: torch.device) -> str:
    """Names the processor of a device, for the record; nothing where torch knows none."""
    return f"on {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""


def widest(device: torch.device) -> torch.dtype:
    """Gives the type in which sums are taken: float64, but float32 where a device has no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def float64_device(name: str) -> torch.device:
    """Gives a device on which can be measured in float64.

    Raises:
        ConfigError: As `find_device`; or it has no float64.
    """
    device = find_device(name)
    if widest(device) != torch.float64:
        raise ConfigError(f"{name} has no float64, in which this is measured: use cpu or cuda")
    return device


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Gives a tensor of the CPU on a device; the CPU keeps it as it is.

    CUDA copies it from pinned memory of its own, so that nobody waits and the tensor may change.
    """
    if device.type == CPU:
        return tensor
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Multiplies in the type that was asked for, for a while: TensorFloat-32 has 10 bits."""
    if device.type != "cuda":
        yield
        return
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]
    try:
        for part in parts:
            part.fp32_precision = "ieee"
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            part.fp32_precision = value
