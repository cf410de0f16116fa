"""Music as notes, as MIDI that is read again, and as a piano roll."""

import sys

import mido
import numpy as np
import pandas as pd
import pytest

from odyssey.errors import ConfigError, StoreError
from odyssey.report.inside.midi import BEATS, TICKS, Note, list_notes, write_midi
from odyssey.report.inside.piano_roll import plot_piano_roll, tidy_notes, write_piano_roll

LOWEST = 40


@pytest.fixture
def frames():
    return (np.random.default_rng(0).random((30, 12)) < 0.4).astype(np.uint8)


def sounding(notes, shape):
    found = np.zeros(shape, dtype=np.uint8)
    for note in notes:
        assert not found[note.start : note.end, note.pitch - LOWEST].any()
        found[note.start : note.end, note.pitch - LOWEST] = 1
    return found


def test_frames_side_by_side_are_one_note(frames):
    notes = list_notes(frames, lowest=LOWEST)
    assert np.array_equal(sounding(notes, frames.shape), frames)
    for note in notes:  # none could be longer
        row = np.pad(frames[:, note.pitch - LOWEST], (1, 1))
        assert row[note.start] == row[note.end + 1] == 0
    assert notes == sorted(notes, key=lambda n: (n.start, n.pitch))
    assert list_notes(frames[:0], lowest=LOWEST) == []


@pytest.mark.parametrize("quarters", [1.0, 0.5, 0.25])
def test_midi_says_when_each_note_begins_and_ends(frames, quarters, tmp_path):
    notes = list_notes(frames, lowest=LOWEST)
    path = write_midi(tmp_path / "x.mid", notes, quarters=quarters)
    file = mido.MidiFile(path)
    assert file.ticks_per_beat == TICKS
    tick, on, found = 0, {}, []
    for message in file.tracks[0]:
        tick += message.time
        if message.type == "set_tempo":
            assert mido.tempo2bpm(message.tempo) == BEATS
        elif message.type == "note_on":
            assert message.note not in on
            on[message.note] = tick
        elif message.type == "note_off":
            frame = quarters * TICKS
            found.append(Note(message.note, int(on.pop(message.note) / frame), int(tick / frame)))
    assert not on
    assert sorted(found, key=lambda n: (n.start, n.pitch)) == notes


def test_what_cannot_be_written_says_why(tmp_path, monkeypatch):
    with pytest.raises(StoreError, match="cannot write"):
        write_midi(tmp_path / "no/x.mid", [], quarters=1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        write_piano_roll(
            tmp_path / "file/x", {"a": [Note(60, 0, 2)]}, begun=1, frames=4, quarters=1
        )
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(ConfigError, match=r"needs mido: pip install 'odyssey-cells\[music\]'"):
        write_midi(tmp_path / "x.mid", [], quarters=1)


def test_the_piano_roll_has_a_bar_a_note(frames, tmp_path):
    notes = list_notes(frames, lowest=LOWEST)
    frame = tidy_notes({"made": notes, "the piece": notes[:5]}, begun=10)
    figure = plot_piano_roll(frame, begun=10, frames=30, quarters=0.5)
    above, below = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["made", "the piece"]
    bars = [(b.get_x(), b.get_width(), b.get_y() + b.get_height() / 2) for b in above.patches]
    want = [(n.start / 2, (n.end - n.start) / 2, n.pitch) for n in notes]
    np.testing.assert_allclose(sorted(bars), sorted(want))
    assert len(below.patches) == 5
    assert frame["given"].tolist() == [n.start < 10 for n in (*notes, *notes[:5])]
    assert [t.get_text() for t in below.get_yticklabels()] == ["C3"]
    paths = write_piano_roll(tmp_path / "roll", {"made": notes}, begun=10, frames=30, quarters=0.5)
    assert paths["png"].stat().st_size > 1000
    assert len(pd.read_csv(paths["csv"])) == len(notes)


def test_silence_is_drawn_too(tmp_path):
    paths = write_piano_roll(tmp_path / "roll", {"made": []}, begun=1, frames=3, quarters=1)
    assert paths["png"].is_file()
