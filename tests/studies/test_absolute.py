"""Every process finds the files of a study, wherever it stands and whatever they are called."""

import os
from pathlib import Path

import pytest
import tomli_w

from odyssey.specs import get_cell, split_spec
from odyssey.studies.absolute import absolute_cell, absolute_task
from odyssey.studies.study import Study, parse_study, read_study


def test_relative_paths_refer_to_the_folder_of_the_study(tmp_path, monkeypatch):
    folder = tmp_path / "studies"
    folder.mkdir()
    text = get_cell("lstm").text
    (folder / "mine.cell").write_text(text.replace("cell lstm", "cell mine"))
    (folder / "study.toml").write_text(
        tomli_w.dumps(
            {
                "name": "paths",
                "cells": ["mine.cell", "./mine.cell:forget_bias=1", "lstm:forget_bias=2"],
                "tasks": ["text:book.txt", "text:sub/book.txt@split=80/10/10", "xml"],
            }
        )
    )
    monkeypatch.chdir(tmp_path)
    study = read_study(Path("studies/study.toml"))
    assert study.cells == (
        f"{folder}/mine.cell",
        f"{folder}/mine.cell:forget_bias=1",
        "lstm:forget_bias=2",
    )
    assert study.tasks == (
        f"text:{folder}/book.txt",
        f"text:{folder}/sub/book.txt@split=80/10/10",
        "xml",
    )
    monkeypatch.chdir("/")
    assert [c.name for c in study.resolve_cells().values()] == [
        "mine",
        "mine:forget_bias=1",
        "lstm:forget_bias=2",
    ]
    assert parse_study(study.to_toml()) == study


def test_a_study_made_in_python_refers_to_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "mine.cell").write_text(get_cell("lstm").text)
    monkeypatch.chdir(tmp_path)
    mine, own = f"{tmp_path}/mine.cell", f"{tmp_path}/mine.cell:no_bias"
    cells = ["mine.cell", "mine.cell:no_bias"]
    path = Study("way", cells, ["xml"], path=cells)
    assert path.path == path.cells == (mine, own)
    search = Study(
        "search",
        cells,
        ["text:a.txt"],
        strategy={"name": "random", "baseline": "mine.cell"},
        stages=[{"name": "first", "tasks": ["text:a.txt"]}],
    )
    assert search.search.baseline == mine
    assert search.search.stages[0].tasks == (f"text:{tmp_path}/a.txt",)
    for study in (path, search):
        assert parse_study(study.to_toml(), base=Path("/")) == study


def test_specs_without_a_path_and_absolute_ones_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    base = Path("/base")
    for spec in ("lstm", "NIG", "odyssey9", "lstm:forget_bias=a/b", "/a/b.cell:NFG", ""):
        assert absolute_cell(spec, base) == spec
    for spec in ("xml", "arithmetic@distractors=0.5", "tinyshakespeare@split=80/10/10", "text:"):
        assert absolute_task(spec, base) == spec
    assert absolute_task("text:/a/b.txt@unit=bytes", base) == "text:/a/b.txt@unit=bytes"
    assert absolute_task("text:~/b.txt", base) == f"text:{tmp_path}/b.txt"
    assert absolute_cell("~/b.cell:NFG", base) == f"{tmp_path}/b.cell:NFG"
    assert absolute_cell("b.cell") == f"{os.getcwd()}/b.cell"
    assert absolute_task("text:b.txt") == f"text:{os.getcwd()}/b.txt"


@pytest.mark.parametrize("name", ["b", "b@1", "a@split=1", "a:b", "a@b=c:d", "a b", "ü"])
@pytest.mark.parametrize("folder", ["", "x", "x@y", "x:y", "x@unit=bytes", "x/../y", "./x//y"])
@pytest.mark.parametrize("rest", ["", "@split=80/10/10", "@unit=bytes,split=80/10/10"])
def test_paths_of_texts_may_hold_what_ends_a_spec(folder, name, rest):
    path = os.path.join(folder, f"{name}.txt")
    found = absolute_task(f"text:{path}{rest}", Path("/base"))
    assert found == f"text:{os.path.normpath(f'/base/{path}')}{rest}"
    assert absolute_task(found) == found


@pytest.mark.parametrize("name", ["b", "b@1", "a:b", "a b", "ü"])
@pytest.mark.parametrize("folder", ["", "x", "x@y", "x:y", "x/../y", "./x//y"])
@pytest.mark.parametrize("rest", ["", ":no_forget_gate", ":NFG+forget_bias=2", ":forget_bias=a/b"])
def test_paths_of_cells_may_hold_what_ends_a_spec(folder, name, rest):
    path = os.path.join(folder, f"{name}.cell")
    found = absolute_cell(path + rest, Path("/base"))
    assert found == os.path.normpath(f"/base/{path}") + rest
    assert absolute_cell(found) == found
    assert split_spec(found) == (found.removesuffix(rest), rest[1:] or None)


def test_a_path_through_a_link_stays_the_same_file(tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "a.txt").write_text("right")
    (tmp_path / "a.txt").write_text("wrong")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    found = absolute_task("text:link/../a.txt", tmp_path)
    assert Path(found.removeprefix("text:")).read_text() == "right"
