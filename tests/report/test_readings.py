"""Pictures that were read: where a look falls on them, their figures and their page."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from odyssey.report.inside.readings import (
    HEAT,
    STRONGEST,
    PictureReading,
    plot_looks,
    plot_readings,
)
from odyssey.report.inside.readings_page import ReadingsPage, write_readings_page


def reading(*, truth="<4>", looked=True, written="<4>"):
    looks = np.zeros((2, 2, 3), dtype=np.float32)
    looks[0, 1, 2], looks[0, 0, 0], looks[1, 0, 1] = 0.6, 0.4, 1
    picture = np.linspace(0, 1, 8 * 10, dtype=np.float32).reshape(8, 10)
    steps = (*written, "end")[:2]
    return PictureReading("a&b", picture, steps, written, truth, 0.5, looks if looked else None)


def test_a_look_is_heat_on_its_place_as_strong_as_the_strongest():
    one = reading()
    grey = one.picture_HW[..., None] * 255 * np.ones(3)
    first, second = one.heat(0), one.heat(1)
    strong = grey * (1 - STRONGEST) + np.array(HEAT) * STRONGEST
    assert np.abs(first[4:, 7:] - strong[4:, 7:]).max() <= 0.5
    weak = grey + (np.array(HEAT) - grey) * STRONGEST * 2 / 3
    assert np.abs(first[:4, :4] - weak[:4, :4]).max() <= 0.51
    assert np.abs(first[:4, 4:] - grey[:4, 4:]).max() <= 0.5
    assert np.abs(second[:4, 4:7] - strong[:4, 4:7]).max() <= 0.5
    assert np.abs(second[4:] - grey[4:]).max() <= 0.5
    assert np.abs(reading(looked=False).heat(0) - grey).max() <= 0.5


def test_verdicts():
    assert [reading(truth=t).verdict for t in ("<4>", "4", None)] == ["right", "wrong", ""]


@pytest.mark.parametrize("looked", [True, False])
def test_a_page_shows_every_picture_and_escapes_what_was_written(tmp_path, looked):
    readings = [reading(looked=looked), reading(truth="<7>", looked=looked)]
    content = ReadingsPage("T & U", "lead", [("right", "1 of 2")], ["note"], [], readings)
    one, other = (
        write_readings_page(content, tmp_path / name).read_bytes() for name in ("a.html", "b.html")
    )
    assert one == other
    text = one.decode()
    assert "&lt;4&gt;" in text
    assert "<4>" not in text
    assert "it is <b>&lt;7&gt;</b>" in text
    assert "T &amp; U" in text
    found = text.split('src="data:image/png;base64,')[1:]
    assert len(found) == (6 if looked else 2)
    with Image.open(io.BytesIO(base64.b64decode(found[0].split('"')[0]))) as image:
        assert image.size == (10, 8)


@pytest.mark.parametrize("looked", [True, False])
def test_figures_are_drawn(looked):
    figure = plot_readings([reading(looked=looked), reading(truth="$_", looked=looked)])
    where = "left" if looked else "center"
    titles = [title for ax in figure.axes if (title := ax.get_title(loc=where))]
    assert len(titles) == (6 if looked else 2)
    assert any("is " in title for title in titles)


def test_looks_are_drawn():
    rows = [(s, 3, t, 10.0 * t + s % 3, 10.0 * t + s % 4) for s in range(20) for t in range(3)]
    frame = pd.DataFrame(rows, columns=["sequence", "length", "step", "look", "target"])
    left, right = plot_looks(frame).axes
    assert left.get_legend_handles_labels()[1] == ["digit 1", "digit 2", "digit 3"]
    assert right.get_title(loc="left") == "numbers of 3"
