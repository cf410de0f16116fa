"""Frames of music into notes, and those into a MIDI file, by mido.

A frame says which keys sound, not which are struck: a key that sounds in frames side by side is one
note, held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import ConfigError, StoreError

TICKS = 480
"""Ticks of a quarter note, the usual number."""
BEATS = 100
"""Quarter notes a minute."""
LOUD = 72
"""How hard keys are struck, of 127."""


@dataclass(frozen=True)
class Note:
    """Holds one note.

    Attributes:
        pitch: Its MIDI number; 60 is middle C.
        start: The frame in which it begins.
        end: The first frame in which it does not sound any more.
    """

    pitch: int
    start: int
    end: int


def list_notes(frames_TK: NDArray[np.integer], *, lowest: int) -> list[Note]:
    """Gives the notes of frames, in order of their beginnings, from the lowest.

    Args:
        frames_TK: Which keys sound (T, K), 0 or 1.
        lowest: The MIDI number of the first key.
    """
    silence = np.zeros((1, frames_TK.shape[1]), dtype=np.int8)
    sounds = np.concatenate([silence, frames_TK.astype(np.int8), silence])
    changes = np.diff(sounds, axis=0)
    notes = []
    for key in range(frames_TK.shape[1]):
        starts, ends = (np.flatnonzero(changes[:, key] == sign) for sign in (1, -1))
        notes += [Note(lowest + key, int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
    return sorted(notes, key=lambda note: (note.start, note.pitch))


def write_midi(path: str | Path, notes: Sequence[Note], *, quarters: float) -> Path:
    """Writes notes as a MIDI file for a piano.

    Args:
        path: The file; one of this name is replaced.
        notes: The notes.
        quarters: How many quarter notes a frame lasts.

    Raises:
        ConfigError: mido is not installed.
        StoreError: The file cannot be written.
    """
    try:
        import mido
    except ImportError:
        raise ConfigError("MIDI needs mido: pip install 'odyssey-cells[music]'") from None
    events = [(note.end, 0, note.pitch) for note in notes]
    events += [(note.start, LOUD, note.pitch) for note in notes]
    file = mido.MidiFile(ticks_per_beat=TICKS)
    track = file.add_track()
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(BEATS)))
    now = 0
    for frame, loud, pitch in sorted(events):  # at one time, what ends comes first
        tick = round(frame * quarters * TICKS)
        kind = "note_on" if loud else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=loud, time=tick - now))
        now = tick
    try:
        file.save(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
    return Path(path)
