"""A device that has shapes and no values, on which whole trainings run without a GPU.

Its tensors are those of torch's `meta`. What a GPU would refuse, it refuses: to compute with
tensors of two devices, other than single numbers of the CPU. What would make a GPU wait, it
counts: copies to the CPU, which give ones. Values cannot be read in any other way.
"""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("meta")
COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class MixedDevicesError(Exception):
    """An operation was given tensors of two devices."""


class FakeDevice(TorchDispatchMode):
    """Watches all operations.

    Attributes:
        reads: How often something was copied to the CPU.
        moves: How often something was copied from it.
        operations: How many ran on the device.
    """

    def __init__(self):
        super().__init__()
        self.reads = self.moves = self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in tensors}
        if func in COPIES:
            to_cpu = torch.device(kwargs.get("device") or args[0].device).type == "cpu"
            if to_cpu and "meta" in devices:
                self.reads += 1
                return self._read(func, args, kwargs)
            self.moves += (not to_cpu) and "cpu" in devices
        else:
            large = {t.device.type for t in tensors if t.dim() or t.device.type == "meta"}
            if len(large) > 1:
                shown = ", ".join(f"{t.device.type} {tuple(t.shape)}" for t in tensors)
                raise MixedDevicesError(f"{func}: {shown}")
            self.operations += "meta" in devices
        return func(*args, **kwargs)

    @staticmethod
    def _read(func, args, kwargs):
        if func is torch.ops.aten.copy_.default:
            return args[0].fill_(1)
        return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)


@contextmanager
def fake_device(monkeypatch):
    """Lets `cuda` be the fake device for a while, and gives what watches it."""
    monkeypatch.setattr("odyssey.training.group.find_device", lambda name: DEVICE)
    with FakeDevice() as watched:
        yield watched
