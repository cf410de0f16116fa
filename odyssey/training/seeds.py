"""Random streams: every one is named, and derived from a seed and its name alone."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """Gives the generator of a named stream, independent of all other names.

    Args:
        seed: A non-negative integer.
        name: What the stream is for, such as ("data", "arithmetic").
    """
    keys = [int.from_bytes(hashlib.sha256(str(part).encode()).digest()[:8], "big") for part in name]
    return np.random.default_rng(np.random.SeedSequence([seed, *keys]))
