"""A trained model makes music: it goes on from the first frames of a test piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.errors import ConfigError, StoreError
from odyssey.options import Options

if TYPE_CHECKING:
    import numpy as np

    from odyssey.tasks.music import Music
    from odyssey.training.model import SequenceModel

LENGTH = 120
"""Frames that are made where nobody says how many."""


@dataclass(frozen=True, kw_only=True)
class PlayOptions(Options):
    """How a model makes music.

    Attributes:
        to: The folder of the MIDI file and the figure.
        piece: Which piece of the test set it goes on from.
        begun: How many frames of that it is given.
    """

    to: str = "sample"
    piece: int = 0
    begun: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.piece < 0:
            raise ConfigError(f"--piece must not be negative, got {self.piece}")
        if self.begun < 1:
            raise ConfigError(f"--begun must be at least 1, got {self.begun}")


@dataclass(frozen=True)
class PlayedMusic:
    """What a model made.

    Attributes:
        midi: The MIDI file: the frames it was given, and what it made of them.
        figure: The piano roll, a PNG; beside it lie a PDF and the notes as CSV.
        begun: How many frames it was given.
        made: How many it made.
    """

    midi: Path
    figure: Path
    begun: int
    made: int


def play(
    model: SequenceModel,
    task: Music,
    options: PlayOptions,
    *,
    length: int | None,
    temperature: float,
    rng: np.random.Generator,
) -> PlayedMusic:
    """Lets a model go on from a test piece, and writes what it makes.

    Args:
        model: The model.
        task: What it has learned.
        options: From which piece, and where to.
        length: Frames; some if None.
        temperature: Divides the logits.
        rng: The generator.

    Raises:
        OdysseyError: There is no such piece, mido is not installed, or nothing can be written.
    """
    import numpy as np

    from odyssey.report.inside.midi import list_notes, write_midi
    from odyssey.report.inside.piano_roll import write_piano_roll
    from odyssey.tasks.music import LOWEST
    from odyssey.training.sampling import sample_frames

    begun = task.begin(options.piece, options.begun)
    made = sample_frames(
        model,
        task.inputs(begun),
        length=LENGTH if length is None else length,
        temperature=temperature,
        rng=rng,
    )
    whole = np.concatenate([begun, np.stack(list(made))])
    piece = task.pieces("test")[options.piece][: len(whole)]
    directory = Path(options.to)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write to {directory}: {error.strerror or error}") from None
    notes = list_notes(whole, lowest=LOWEST)
    midi = write_midi(directory / "sample.mid", notes, quarters=task.quarters)
    parts = {
        "what the model makes of the beginning": notes,
        f"the piece, number {options.piece} of the test set": list_notes(piece, lowest=LOWEST),
    }
    paths = write_piano_roll(
        directory / "piano_roll",
        parts,
        begun=len(begun),
        frames=len(whole),
        quarters=task.quarters,
    )
    return PlayedMusic(midi, paths["png"], len(begun), len(whole) - len(begun))
