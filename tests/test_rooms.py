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


def test_what_docstrings_point_to_is_there():
    """What stands in backquotes as `room.name`, but for keys of studies."""
    keys = {f"training.{field.name}" for field in dataclasses.fields(TrainingConfig)}
    tops = "|".join(room.name for room in ROOMS if room.parent == ROOT)
    pattern = re.compile(rf"`((?:{tops})(?:\.\w+)+(?<!\.py))`")
    files = {path: path.read_text("utf-8") for path in sorted(ROOT.rglob("*.py"))}
    named = [(path, name) for path, text in files.items() for name in pattern.findall(text)]
    assert len(named) > 50
    gone = [f"{path}: {name}" for path, name in named if name not in keys and not there(name)]
    assert not gone


def there(name):
    try:
        return pkgutil.resolve_name(f"odyssey.{name}") is not None
    except AttributeError:
        return False
