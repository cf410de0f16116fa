"""A device that remembers a call and repeats it for a replay; its clock is the test's."""

import torch


class Recorded:
    """Stands for `captured.CudaRecorder`.

    Args:
        plain: Seconds of an update as it is.
        replayed: Seconds of a replay.
        fails: Whether nothing can be recorded.
    """

    def __init__(self, *, plain=1.0, replayed=0.1, fails=False):
        self.now, self.costs, self.fails = 0.0, (plain, replayed), fails
        self.calls, self._last = [], []

    def aside(self, run):
        self.calls.append("plain")
        self.now += self.costs[0]
        self._last = run()
        return self._last

    def record(self, run):
        """Computes nothing, as a capture: outputs have shapes, and no values yet."""
        self.calls.append("record")
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        made = [torch.empty_like(tensor) for tensor in self._last]

        def replay():
            self.calls.append("replay")
            self.now += self.costs[1]
            for own, new in zip(made, run(), strict=True):
                own.copy_(new)

        return made, replay

    def clock(self):
        return self.now
