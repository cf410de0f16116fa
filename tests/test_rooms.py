"""Every package says in its docstring which files and packages it holds, and no others; and what
the texts of the code point to is there."""

import ast
import dataclasses
import pkgutil
import re
from pathlib import Path

import pytest

from odyssey.training.config import TrainingConfig

ROOT = Path(__file__).parents[1] / "odyssey"
ROOMS = sorted(path.parent for path in ROOT.rglob("__init__.py"))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(ROOT.parent).as_posix())
def test_a_room_names_its_files(room):
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8"))) or ""
    files = {path.name for path in room.glob("*.py")} - {"__init__.py"}
    packages = {f"{path.parent.name}/" for path in room.glob("*/__init__.py")}
    assert set(re.findall(r"`(\w+(?:\.py|/))`", text)) == files | packages


def test_there_are_rooms():
    assert len(ROOMS) > 10


def pointed():
    """What stands in backquotes as `room.name`, with the file that says so; keys of studies not."""
    keys = {f"training.{field.name}" for field in dataclasses.fields(TrainingConfig)}
    tops = "|".join(room.name for room in ROOMS if room.parent == ROOT)
    pattern = re.compile(rf"`((?:{tops})(?:\.\w+)+(?<!\.py))`")
    for path in sorted(ROOT.rglob("*.py")):
        for name in dict.fromkeys(pattern.findall(path.read_text("utf-8"))):
            if name not in keys:
                yield pytest.param(name, id=f"{path.relative_to(ROOT)}-{name}")


@pytest.mark.parametrize("name", list(pointed()))
def test_what_a_docstring_points_to_is_there(name):
    pkgutil.resolve_name(f"odyssey.{name}")
