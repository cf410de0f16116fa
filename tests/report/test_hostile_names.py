"""Names of cells, tasks and studies may be anything: reports show them as they are."""

import importlib
import inspect
import pkgutil
import re

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console
from support.fake_runs import GRU_TEXT, fake_trial
from test_html import Page
from test_names import HOSTILE

import odyssey.report
from odyssey.progress.study import study_picture
from odyssey.report.page import tables
from odyssey.report.page.style import drawable, new_axes, save_figure, styled, to_svg
from odyssey.report.study import plots
from odyssey.report.study.files import write_content
from odyssey.report.study.page import read_content
from odyssey.statistics import ranking
from odyssey.storage import RunStore
from odyssey.studies.board import StudyBoard

CELLS = ["lstm", "_c $x^$", "a|b & c # d % e ~ f {g} \\h", "[red]中文 \x1b[31m\u202e"]
TASKS = ["text:/home/ann/cost $x^$ 5.txt", "text:/home/ann/_b 中\x07.txt@split=80/10/10"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "run"
    name = "study $x_ <b> | & \x1b[31m"
    store = RunStore.create(
        folder,
        study='name = "a"\ntasks = ["text:/home/ann/cost $x^$ 5.txt"]\n',
        run={
            "study": name,
            "description": name,
            "baseline": "lstm",
            "tasks": {task: {"path": task[5:], "num_symbols": 18} for task in TASKS},
            "counted": dict.fromkeys(TASKS, "every byte"),
        },
    )
    index = 0
    for task in TASKS:
        for spec in CELLS:
            rows, curves = fake_trial(index, spec, task, members=6)
            for row in rows:
                row |= {"cell": "gru", "cell_text": GRU_TEXT, "lineage": "gru"}
            store.write(f"{index:016x}", rows, curves)
            index += 1
    write_content(read_content(folder))
    return folder


def test_a_report_of_hostile_names_is_whole(written):
    files = {path.suffix for path in written.rglob("*") if path.is_file()}
    assert {".html", ".csv", ".md", ".tex", ".png", ".pdf"} <= files
    page = Page((written / "report.html").read_text(encoding="utf-8"))
    for shown in ("text:cost $x^$ 5.txt", "_c $x^$", "中文", "text:_b 中\\x07.txt@split=80/10/10"):
        assert shown in page.words


def test_what_is_given_away_names_no_folder_and_steers_nothing(written):
    made = [p for p in written.rglob("*") if p.suffix in (".html", ".csv", ".md", ".tex")]
    assert len(made) > 10
    for path in made:
        text = path.read_text(encoding="utf-8")
        assert "/home/ann" not in text, path
        assert not set(text) & set("\x1b\x07\u202e"), path
    for path in written.glob("*.md"):
        rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
        columns = {
            len(re.findall(r"(?<!\\)\|", row)) for row in rows if "lstm" in row or "a\\|" in row
        }
        assert len(columns) <= 2  # those of the task's table and of that over all tasks


def test_a_figure_shows_every_name_and_warns_of_none(tmp_path):
    names = [n for n in [*HOSTILE, "a$b$c", "\\$x\\$"] if n != "\ud800"]  # no frame holds that
    frame = pd.DataFrame(
        {
            "label": names,
            "task": names[0],
            "status": "ok",
            "member": 0,
            "valid_bpc": range(len(names)),
        }
    )
    ax = plots.plot_members(frame)
    assert len(ax.get_yticks()) == len(names)  # none was taken for another
    save_figure(ax.get_figure(), tmp_path / "figure", data=frame)
    ax.get_figure().canvas.draw()  # outside of our style, as a notebook does
    assert to_svg(ax.get_figure())
    # the data behind it have the names as they are
    assert set(pd.read_csv(tmp_path / "figure.csv", keep_default_na=False)["label"]) > {"_hidden"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_drawable_name_is_no_formula_and_is_in_the_legend(name):
    line = drawable(name)
    assert drawable(line) == line
    ax = new_axes(2, 2)
    ax.plot([0, 1], label=line)
    handles, labels = ax.get_legend_handles_labels()
    assert (len(handles), labels) == (1, [line])
    text = Text(text=line)
    assert text._preprocess_math(line)[1] is False
    figure = Figure()
    figure.text(0.5, 0.5, line)
    figure.draw_without_rendering()


def test_names_reach_a_figure_function_alike_however_they_are_given():
    @styled
    def draw(frame, *, baseline, other):
        return [*frame["label"]], baseline, [*other["name"]], frame["label"].dtype

    frame = pd.DataFrame({"label": ["_a", "b", "_a"], "n": [1, 2, 3], "all": [["_a"], [], None]})
    for dtype in ("string", "category", object):
        drawn = draw(
            frame.astype({"label": dtype}), baseline="_a", other=pd.DataFrame({"name": ["_a", 1]})
        )
        assert drawn[:3] == ([" _a", "b", " _a"], " _a", [" _a", 1])
        assert drawn[3] == frame.astype({"label": dtype})["label"].dtype or dtype == "category"
    assert list(frame["label"]) == ["_a", "b", "_a"]


def figure_functions():
    """Lists the public functions of the reports that take frames and give Axes or a figure."""
    for module in pkgutil.walk_packages(odyssey.report.__path__, "odyssey.report."):
        found = importlib.import_module(module.name)
        for name, function in inspect.getmembers(found, inspect.isfunction):
            if name.startswith("_") or function.__module__ != module.name:
                continue
            hints = {k: str(v) for k, v in inspect.get_annotations(function).items()}
            draws = hints.get("return") in ("Axes", "Figure")
            if draws and any("DataFrame" in hint for hint in hints.values()):
                yield pytest.param(function, id=f"{module.name}.{name}")


@pytest.mark.parametrize("function", [*figure_functions()])
def test_every_function_that_draws_frames_gets_drawable_names(function):
    assert hasattr(function, "__wrapped__"), "decorate it with style.styled"


def test_a_terminal_gets_no_orders(written, capsys):
    results = RunStore.open(written).results()
    console = Console(force_terminal=True, width=100)
    tables.print_table(ranking.leaderboard(results), console)
    board = StudyBoard({}, len(results), 0)
    board.include(results.to_dict("records"))
    console.print(study_picture(board))
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)  # our own colours
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown
    assert mpl.rcParams["text.parse_math"] is True
