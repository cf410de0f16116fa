"""Constants and declared sizes, set by specs."""

import pytest

import odyssey
from odyssey.errors import CellError
from odyssey.transforms.settings import settings

TEXT = """
cell leaky
input x
size R = H / 4
const dt = 0.1
state h
z : R = tanh(V @ h[t-1])
h[t] = (1 - dt) * h[t-1] + dt * tanh(W @ x[t] + P @ z)
output h
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "leaky.cell"
    path.write_text(TEXT)
    return path


def test_a_spec_sets_them(path):
    cell = odyssey.get_cell(f"{path}:dt=0.05+R=16")
    assert settings(cell) == ("dt", "R")
    assert float(cell.constants["dt"]) == 0.05
    assert cell.shapes.matrices["V"] == ("16", "H")
    assert cell.name == "leaky:dt=0.05+R=16"
    assert cell.lineage == ("leaky", "dt=0.05", "R=16")
    assert odyssey.get_cell(f"{path}:R=H/2").shapes.matrices["P"] == ("H", "H/2")
    assert odyssey.get_cell(f"{path}:R=H / 2").name == "leaky:R=H/2"
    assert odyssey.get_cell(f"{path}:dt=0.1").key == odyssey.get_cell(str(path)).key


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("dt=x", "expected a number"),
        ("dt=1e40", "between 1e-30 and 1e30"),
        ("R=0", "a size is a whole number"),
        ("R=1/3", "is no size"),
        ("R=H/4096", "a factor between"),
        ("dt=", "not an equation"),
        ("td=1", "no ablation called 'td'; closest: dt"),
    ],
)
def test_refusals(path, setting, reason):
    with pytest.raises(CellError) as caught:
        odyssey.get_cell(f"{path}:{setting}")
    assert reason in str(caught.value), caught.value
    assert "\n" not in str(caught.value)
