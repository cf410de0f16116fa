"""Draws the cells of the study: the library's, ablations of a few of them, and mutants.

Usage: python experiments/predictors/draw.py [DIR]

Writes `cells/*.cell` (the mutants), `cells.csv` (all cells, with their families) and `study.toml`
into DIR (the folder of this script). The draw is fixed by SEED and by the tables of mutations and
ablations: these files keep the cells as they were drawn, whatever becomes of the tables.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from odyssey.cells import LIBRARY
from odyssey.errors import OdysseyError
from odyssey.expr import Cell
from odyssey.specs import get_cell
from odyssey.tasks.base import Task
from odyssey.tasks.registry import get_task
from odyssey.training.model import hidden_size_for
from odyssey.training.seeds import stream
from odyssey.training.sizes import reading
from odyssey.transforms.constraints import Constraints, reject
from odyssey.transforms.degenerate import degenerate
from odyssey.transforms.mutations import NotApplicable, mutate
from odyssey.transforms.neighbours import single_changes

SEED = 2026
TASK = "tinyshakespeare"
PARAMETERS = 20_000
LIMITS = Constraints(max_nodes=60, gradient_path=True)
ABLATED = ("lstm", "lstm_peephole", "gru", "mgu", "ugrnn", "mut3", "ran", "janet", "lem", "slstm")
ABLATIONS, MUTANTS = 10, 8  # of one parent
STEPS = (1, 2, 3)  # mutations of a mutant, in turn
PARENTS = (
    *("elman", "mi_rnn", "scrn", "antisymmetric", "cornn", "lem", "rhn", "indrnn"),
    *("lstm", "lstm_peephole", "multiplicative_lstm", "residual_lstm", "slstm", "ran"),
    *("gru", "gru_torch", "mgu", "ugrnn", "cfn", "sgu", "ligru", "minimalrnn", "star", "atr"),
    *("mut1_mapped", "mut2_mapped", "mut3", "janet", "lightru", "taugru", "qrnn", "sru_v1"),
)
KIN = {  # cell whose equations another one varies: they are one family
    "elman": (
        *("elman_relu", "irnn", "modrelu_rnn", "scornn", "exprnn", "ornn", "spectral_rnn"),
        *("shuffling_rnn", "mi_rnn", "hopfield", "dale_rnn"),
    ),
    "lstm": (
        *("lstm_1997", "lstm_peephole", "lstm_jozefowicz", "residual_lstm", "mi_lstm"),
        *("multiplicative_lstm", "lstm1", "lstm2", "lstm3", "indylstm", "mclstm", "wmclstm"),
        *("mogrifier_lstm", "nested_lstm", "on_lstm", "slstm", "grid_lstm"),
    ),
    "gru": (
        *("gru_torch", "mi_gru", "gru1", "gru2", "gru3", "mut1", "mut1_mapped", "mut2"),
        *("mut2_mapped", "mut3", "egru", "ligru"),
    ),
    "mgu": ("mgu1", "mgu2", "mgu3", "minimalrnn"),
    "qrnn": ("qrnn_f", "qrnn_ifo"),
    "sru_v1": ("sru", "ln_sru"),
    "trnn": ("tgru", "tlstm", "gilr"),
    "mingru": ("mingru_log", "minlstm", "minlstm_log"),
    "sgu": ("dsgu",),
    "lif": ("lsnn",),
    "antisymmetric": ("gated_antisymmetric",),
    "br": ("nbr",),
    "lru": ("rg_lru",),
    "miru1": ("miru2",),
    "atr": ("sgrn", "lrn"),
}
_ROOT = {kin: root for root, names in KIN.items() for kin in names}


def family_of(library_name: str) -> str:
    """Names the family of a library cell, by the cell that its kin vary."""
    return _ROOT.get(library_name, library_name)


def is_admitted(cell: Cell, task: Task) -> bool:
    """Says whether a cell can be trained and measured like all others.

    Its states are vectors of H units, it has a path from a state to later values of that state,
    at most 60 nodes, some size with 20,000 parameters, and is not degenerate.
    """
    try:
        reading(cell, task.signature)
        hidden = hidden_size_for(cell, PARAMETERS, signature=task.signature, num_layers=1)
    except OdysseyError:
        return False
    width = task.signature.inputs.size
    if not cell.shapes.plain or not cell.recurrent:
        return False
    return reject(cell, LIMITS, input_size=width, hidden_size=hidden) is None and (
        degenerate(cell) is None
    )


def drawn(task: Task) -> Iterator[tuple[Cell, dict[str, object]]]:
    """Gives every cell with what the list says about it; the same cell never twice."""
    seen: set[str] = set()

    def is_new(cell: Cell) -> bool:
        if not is_admitted(cell, task) or seen.intersection(cell.identity):
            return False
        seen.update(cell.identity)
        return True

    def about(parent: str, made: str, operators: str = "", steps: int = 0) -> dict[str, object]:
        facts = {"family": family_of(parent), "parent": parent, "made": made}
        return facts | {"steps": steps, "operators": operators}

    for name in LIBRARY:
        cell = get_cell(name)
        if is_new(cell):
            yield cell, about(name, "library")
    for parent in ABLATED:
        changes = list(single_changes(get_cell(parent)).items())
        order = stream(SEED, "predictors", "ablations", parent).permutation(len(changes))
        count = 0
        for place in order:
            operator, cell = changes[place]
            if count < ABLATIONS and is_new(cell):
                count += 1
                yield cell.renamed(f"{parent}:{operator}"), about(parent, "ablation", operator, 1)
    for parent in PARENTS:
        rng = stream(SEED, "predictors", "mutants", parent)
        count = 0
        while count < MUTANTS:
            steps = STEPS[count % len(STEPS)]
            try:
                mutant = mutate(get_cell(parent), rng, steps=steps)
            except NotApplicable:
                continue
            if is_new(mutant.cell):
                count += 1
                name = f"{parent}-m{count}"
                yield mutant.cell.renamed(name), about(parent, "mutant", mutant.operator, steps)


def study_text(specs: list[str]) -> str:
    """Writes the study of these cells."""
    lines = "".join(f'    "{spec}",\n' for spec in specs)
    about = f"{len(specs)} cells with 20,000 parameters at two fixed rates: what predicts the loss?"
    return f"""# Does anything that is known before training say how well a cell will learn?
name = "predictors"
description = "{about}"
cells = [
{lines}]
tasks = ["{TASK}"]
members = 2 # one a rate
seed = 1
workers = 2
keep_weights = "none"

[training]
optimizer = "adam"
batch_size = 16
unroll = 64
updates_per_epoch = 150
epochs = 15 # 2.3 million characters
valid_characters = 10_000
test_characters = 40_000

[space]
parameters = {PARAMETERS:_}
learning_rate = {{ grid = [0.003, 0.01] }}
clip_norm = 5.0
"""


def main(folder: Path) -> None:
    """Draws all cells and writes the three of them."""
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    rows, specs = [], []
    for cell, facts in drawn(get_task(TASK)):
        mutant = facts["made"] == "mutant"
        specs.append(f"cells/{cell.name}.cell" if mutant else cell.name)
        if mutant:
            (folder / specs[-1]).write_text(cell.text, encoding="utf-8")
        rows.append({"cell": cell.name, **facts, "key": cell.key[:16]})
    listed = pd.DataFrame(rows)
    listed.to_csv(folder / "cells.csv", index=False, lineterminator="\n")
    (folder / "study.toml").write_text(study_text(specs), encoding="utf-8")
    counts = ", ".join(f"{n} {made}" for made, n in listed["made"].value_counts().items())
    print(f"{len(listed)} cells of {listed['family'].nunique()} families: {counts}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
