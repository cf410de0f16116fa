"""Where work is seen: a picture in a terminal or a notebook, lines elsewhere, or nothing."""

import io
import sys
import types

import pytest
from rich.console import Console
from rich.text import Text

from odyssey.progress import notebook, screen
from odyssey.progress.screen import MOST_LINES, SECONDS, Screen


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    for module in (screen, notebook):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def shown(monkeypatch):
    """A notebook; gives all that it was asked to show, each with the place of its picture."""
    said = []

    class Handle:
        def update(self, html):
            said.append(("again", html.data))

    display = types.ModuleType("IPython.display")
    display.HTML = lambda data: types.SimpleNamespace(data=data)

    def show(html, *, display_id):
        assert display_id
        said.append(("first", html.data))
        return Handle()

    display.display = show
    package = types.ModuleType("IPython")
    package.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return said


def test_a_notebook_draws_in_one_place_now_and_then_and_clears_it(clock, shown, capsys):
    with Screen() as live:
        assert live.draws
        assert not live.prints
        for number in range(6):
            live.draw(Text(f"<b>picture</b> {number}"))
            clock[0] += notebook.SECONDS / 2
        live.line("a line")
        live.step("a step")
    places, pictures = zip(*shown, strict=True)
    assert places == ("first", "again", "again", "again")
    assert "&lt;b&gt;picture&lt;/b&gt; 2" in pictures[1]
    assert pictures[3] == ""
    assert capsys.readouterr().out == ""


def test_what_is_cut_short_keeps_its_picture(clock, shown):
    live = Screen().__enter__()
    live.draw(Text("picture"))
    live.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(shown) == 1


def test_no_notebook_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()
    shell = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", shell)  # IPython on a terminal
    assert not notebook.in_notebook()


def test_a_file_gets_the_first_steps_then_one_now_and_then_and_the_last(clock, capsys):
    with Screen(console=Console(file=io.StringIO(), force_terminal=False)) as live:
        for number in range(MOST_LINES + 50):
            live.step(f"{number}", last=number == MOST_LINES + 49)
            clock[0] += SECONDS / 20
    lines = list(map(int, capsys.readouterr().out.split()))
    assert lines[:MOST_LINES] == list(range(MOST_LINES))
    later = lines[MOST_LINES:]
    assert later[-1] == MOST_LINES + 49
    assert len(later) in (3, 4)


def test_quiet_is_silent(capsys, shown):
    with Screen(quiet=True) as live:
        live.draw(Text("picture"))
        live.line("a line")
    assert shown == []
    assert capsys.readouterr().out == ""
