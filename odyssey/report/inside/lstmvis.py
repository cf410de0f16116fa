"""Export for LSTMVis (Strobelt et al. 2018), which reads HDF5, a dictionary and `lstm.yml`.

Layout, as its documentation and its data handler have it: a folder with

* `states.h5`: one float32 matrix (T, H) a value, row t being what it was after symbol t;
* `train.h5`: `word_ids`, int64 (T,), the character that was read at each step;
* `words.dict`: lines `WORD ID`, split at white space;
* `lstm.yml`: which matrix is which; layers count from 1. LSTMVis takes tanh of a matrix unless it
  says `transform: none`, and expects numbers in [-1, 1] then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from odyssey.errors import ConfigError, StoreError
from odyssey.report.inside.units_page import UnitTrack

_WHITE = {" ": "␣", "\n": "⏎", "\t": "→", "\r": "␍", "": "⋯"}


def write_lstmvis(
    directory: str | Path,
    *,
    name: str,
    description: str,
    symbols: Sequence[str],
    tracks: Sequence[UnitTrack],
) -> Path:
    """Writes a folder that LSTMVis opens, made if need be.

    Args:
        directory: The folder; files of these names are replaced.
        name: Of the project.
        description: A line about it.
        symbols: What was read, T strings of one character; empty for a further byte of the
            character before it.
        tracks: The values; all steps of the one sequence.

    Raises:
        ConfigError: h5py is not installed.
        StoreError: The folder cannot be written.
    """
    try:
        import h5py
    except ImportError:
        raise ConfigError(
            "the export for LSTMVis needs h5py: pip install 'odyssey-cells[lstmvis]'"
        ) from None
    directory = Path(directory)
    kinds = list(dict.fromkeys(symbols))
    place = {symbol: code for code, symbol in enumerate(kinds)}
    words = _words(kinds)
    lines = [
        f"name: {json.dumps(name)}",
        f"description: {json.dumps(description)}",
        "files:",
        "  states: states.h5",
        "  train: train.h5",
        "  words: words.dict",
        "word_sequence:",
        "  file: train",
        "  path: word_ids",
        "  dict_file: words",
        "states:",
        "  file: states",
        "  types: [",
    ]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with h5py.File(directory / "states.h5", "w") as file:
            for track in tracks:
                path = f"{track.name}{track.layer + 1}"
                file[path] = track.values_TH.astype(np.float32)
                bounded = bool(np.abs(track.values_TH).max() <= 1)
                options = ", transform: none" if bounded else ""
                options += ", unsigned: true" if track.kind == "gate" else ""
                kind = "output" if track.kind == "output" else "state"
                lines.append(
                    f"    {{type: {kind}, layer: {track.layer + 1}, path: {path}{options}}},"
                )
        with h5py.File(directory / "train.h5", "w") as file:
            file["word_ids"] = np.array([place[s] for s in symbols], dtype=np.int64)
        dictionary = "".join(f"{word} {code}\n" for code, word in enumerate(words))
        (directory / "words.dict").write_text(dictionary, encoding="utf-8")
        (directory / "lstm.yml").write_text("\n".join([*lines, "  ]", ""]), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write to {directory}: {error.strerror or error}") from error
    return directory


def _words(symbols: Sequence[str]) -> list[str]:
    """Gives each symbol a word without white space, no word twice."""
    words: list[str] = []
    for code, symbol in enumerate(symbols):
        word = _WHITE.get(symbol, symbol)
        if not word.isprintable() or word.isspace() or word in words:
            word = f"<{code}>"
        words.append(word)
    return words
