"""Every package says in its docstring which files and packages it holds, and no others."""

import ast
import re
from pathlib import Path

import pytest

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
