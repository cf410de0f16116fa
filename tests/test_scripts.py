"""Every script of checks/ and benchmarks/ can be started: what it imports is there."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(p for room in ("checks", "benchmarks") for p in (ROOT / room).glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_finds_what_it_imports(script, monkeypatch):
    # of sys.path it has what `python checks/...` would have
    elsewhere = {str(ROOT / room) for room in ("tests", "checks", "benchmarks")}
    own = [str(script.parent), *(entry for entry in sys.path if entry not in elsewhere)]
    monkeypatch.setattr(sys, "path", own)
    for name in ("search_scale", *(m for m in sys.modules if m.partition(".")[0] == "support")):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert "main" in runpy.run_path(str(script), run_name="loaded")
