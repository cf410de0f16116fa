"""Polyphonic music: which of 88 keys sound in the next frame (Boulanger-Lewandowski et al., 2012).

A piece is a sequence of frames, 88 bits each: bit k is MIDI note 21 + k, the keys of a piano from
the left. A frame is predicted from those before it by 88 independent Bernoulli variables, and costs
the sum of their cross-entropies: nats a frame. The splits into training, validation and test pieces
are the papers'.

Papers may count frames in two ways. As in the code of Bai et al. (2018), the first frame of a piece
is given and frames 2 to T are predicted; or the first is predicted too, from an input of zeros. The
loss is a mean over all predicted frames of all pieces, not over pieces.

Shapes: N pieces, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.base import Split
from odyssey.tasks.examples import Example
from odyssey.tasks.sequences import FiniteTask
from odyssey.tasks.signature import BITS, Signature, Values
from odyssey.wording import quoted

KEYS = 88
LOWEST = 21
"""The MIDI note of the first bit."""

GIVEN = "given"
PREDICTED = "predicted"
FIRST_FRAME = (GIVEN, PREDICTED)

QUARTERS: Mapping[str, float] = {"jsb-chorales": 1.0}
"""How many quarter notes a frame lasts; half of one where nothing stands."""

_NAMES: Mapping[Split, str] = {"train": "traindata", "valid": "validdata", "test": "testdata"}


@cache
def load_pieces(path: Path) -> dict[Split, list[NDArray[np.uint8]]]:
    """Reads the pieces (T, 88) of every split from a .mat file.

    Raises:
        TaskError: The file does not hold them.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(path)
        return {
            split: [_piece(piece) for piece in found[name].ravel()]
            for split, name in _NAMES.items()
        }
    except (KeyError, ValueError, NotImplementedError) as error:
        raise TaskError(f"{path} holds no pieces of music: {error}") from None


def _piece(frames: NDArray[np.integer]) -> NDArray[np.uint8]:
    if frames.ndim != 2 or frames.shape[1] != KEYS or not np.isin(frames, (0, 1)).all():
        raise ValueError(f"expected frames of {KEYS} bits, got {frames.shape}")
    return frames.astype(np.uint8)


class Music(FiniteTask):
    """Predicts the next frame of pieces of music.

    Args:
        name: The normalised spec.
        path: The .mat file.
        quarters: How many quarter notes a frame lasts; for listening only.
        first: Whether the first frame of a piece is `given`, or `predicted` from zeros.
        most_steps: Frames of a batch, at most: longer pieces are cut there, and the state is
            carried on.
        facts: What `describe` says beside that.
    """

    unit = "frames"

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        quarters: float,
        first: str,
        most_steps: int,
        facts: Mapping[str, object],
    ) -> None:
        self.path = path
        self.quarters = quarters
        self.first = first
        keys = Values(BITS, KEYS)
        super().__init__(
            name,
            signature=Signature(keys, keys),
            counted="every frame but the first" if first == GIVEN else "every frame",
            facts={"first": first, **facts},
            most_steps=most_steps,
        )

    def pieces(self, split: Split) -> list[NDArray[np.uint8]]:
        """Gives the pieces of a split, (T, 88) each."""
        return load_pieces(self.path)[split]

    def examples(self, split: Split) -> Sequence[Example]:
        """Gives every piece of a split; one of a single given frame has nothing to predict."""
        pieces = self.pieces(split)
        if self.first == GIVEN:
            return [Example(p[:-1], p[1:]) for p in pieces if len(p) > 1]
        return [Example(self.inputs(p[:-1]), p) for p in pieces]

    def inputs(self, frames_TK: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Gives what a model reads of a piece that begins so: silence first, where it predicts
        the first frame."""
        if self.first == GIVEN:
            return frames_TK
        return np.concatenate([np.zeros((1, KEYS), dtype=np.uint8), frames_TK])

    def begin(self, piece: int, frames: int) -> NDArray[np.uint8]:
        """Gives the first frames of a test piece (T, 88), for a model to go on from.

        Args:
            piece: Its number, from 0 on.
            frames: How many, at least one.

        Raises:
            TaskError: There is no such piece, or it is shorter.
        """
        pieces = self.pieces("test")
        if not 0 <= piece < len(pieces):
            raise TaskError(
                f"no piece {quoted(piece)} in the test set of {self.name}; it has"
                f" {len(pieces)}, from 0 on"
            )
        if not 1 <= frames <= len(pieces[piece]):
            raise TaskError(
                f"{quoted(frames)} frames of piece {piece}; it has {len(pieces[piece])}, and at"
                " least one is read"
            )
        return pieces[piece][:frames]
