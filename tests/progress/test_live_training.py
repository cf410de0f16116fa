"""What a training shows: a curve on a terminal, lines in a file."""

import io
import math

import pytest
from rich.console import Console

from odyssey.progress import training
from odyssey.progress.training import LiveTraining, sparkline
from odyssey.tasks.registry import get_task
from odyssey.training.results import Epoch

BARS = "01234567"


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        (range(8), 8, BARS),
        ([3.0, 3.0], 8, "00"),
        ([7, math.nan, 0, math.inf], 8, "7 0 "),
        ([math.nan], 8, " "),
        ([], 8, ""),
        ([0, 0, 7, 7, 1, 1], 3, "071"),  # three signs for six numbers
        ([0, 7, 7, 7, 0], 3, "070"),
    ],
)
def test_a_sparkline_shows_the_numbers(values, width, drawn):
    assert sparkline(list(values), bars=BARS, width=width) == drawn


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    return now


def epoch(number, valid):
    return Epoch(number, 3, (0,), 50 * number, (1.0,), (valid,), (math.nan,), 1.0)


def watch(live, clock):
    """Three epochs of 100 s, whose second one gets worse."""
    with live:
        live.begin(get_task("xml"))
        for number, valid in ((1, 2.0), (2, 3.0), (3, 1.0)):
            for part in range(10):
                clock[0] += 10.0
                live.tick(50 * (number - 1) + 5 * part, 150, 300.0 - clock[0])
            live.epoch(epoch(number, valid), 300.0 - clock[0])
            live.sampled(50 * number, "some <tag>")
        live.tick(150, 150, 0.0)


def test_a_file_gets_lines_and_an_epoch_that_takes_long_says_where_it_is(clock, capsys):
    watch(LiveTraining(console=Console(file=io.StringIO(), force_terminal=False)), clock)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "about 5 min 00 s in all"
    assert lines[1] == "update 35 of 150  3 min 40 s left"
    assert [line[:11] for line in lines if line.startswith("epoch")] == [
        f"epoch   {n}/3" for n in (1, 2, 3)
    ]
    assert lines.count("some <tag>") == 3
    assert not any(sign in "".join(lines) for sign in "▁█\x1b")


def test_a_terminal_shows_the_curve_below_the_lines(clock):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    live = LiveTraining(console=console)
    live._losses = [2.0, 3.0, 1.0]
    live._record = get_task("xml").describe()
    with console.capture() as drawn:
        console.print(live._picture(75, 150, 60.0))
    picture = drawn.get().splitlines()
    unicode = "utf" in console.encoding.lower()
    assert picture[0] == ("▅█▁" if unicode else "=#_")
    assert picture[2] == "75 of 150 updates, 1 min 00 s left"
    assert picture[3] == "best 1.000, last 1.000 bits/char on validation"
    watch(LiveTraining(console=console), clock)
    seen = screen.getvalue()
    assert "epoch   3/3" in seen
    assert "some <tag>" in seen
    assert "150 of 150 updates" in seen


def test_nothing_is_shown_where_the_result_alone_is_wanted(clock, capsys):
    live = LiveTraining(quiet=True)
    with live:
        live.tick(5, 10, 3.0)
    assert capsys.readouterr().out == ""
