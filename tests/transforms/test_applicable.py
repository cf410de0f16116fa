"""Which ablations apply to a cell."""

import pytest

from odyssey.cells import library_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.transforms.ablations import ABLATIONS, ablate, gates
from odyssey.transforms.applicable import applicable


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "elman", "cornn", "slstm"])
def test_what_is_listed_applies_and_what_is_not_does_not(name):
    cell = library_cell(name)
    found = applicable(cell)
    for ablation, row in ABLATIONS.items():
        for argument in found.get(ablation, ()):
            assert ablate(cell, f"{ablation}={argument}" if argument else ablation) != cell
        if ablation not in found and (not row.arguments or row.arguments[0].endswith("?")):
            with pytest.raises(CellError):
                ablate(cell, ablation)
    assert set(found.get("drop_gate", ())) == {
        gate for gate in gates(cell) if applies(cell, f"drop_gate={gate}")
    }
    assert found["no_bias"][0] == ""


def applies(cell, operator):
    try:
        return bool(ablate(cell, operator))
    except CellError:
        return False


def test_known_answers():
    found = applicable(library_cell("gru"))
    assert found["drop_gate"] == ("r",)
    assert found["couple"] == ("r:z", "z:r")
    assert found["activation"] == ("r:sin", "z:sin", "n:sin")
    assert "no_forget_gate" not in found
    assert found["no_reset_gate"] == ("",)
    plain = parse_cell("cell plain\ninput x\nstate h\nh[t] = W @ x[t] + U @ h[t-1]\noutput h\n")
    assert set(applicable(plain)) == {"independent", "multiplicative", "residual"}
