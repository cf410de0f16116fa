"""docs/forms.md: what it says can be written is written, runs and learns; its counts are right."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import odyssey
from odyssey.hyperparameters import HYPERPARAMETERS, Member
from odyssey.tasks.registry import get_task
from odyssey.training.config import TrainingConfig
from odyssey.training.loop import train

PAGE = Path(__file__).parents[2].joinpath("docs/forms.md").read_text("utf-8")
_, _, TABLE = PAGE.partition("## The forms\n\n")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines()[2:] if line
]
CARRIED = [row for row in ROWS if row[2]]
OPTION = re.compile(r"`(\w+) = ([\d.]+)`")
UNITS, STEPS, BATCH = 8, 4, 2


def specs(row):
    """The cells that a row names, and nothing else that it puts in code."""
    written = re.findall(r"`([^`]+)`", OPTION.sub("", row[3]))
    return [word for word in written if re.fullmatch(r"[a-z]\w*(:\S+)?", word) and not call(word)]


def call(word):
    """Says whether a word is a property, a function or an option, and no cell."""
    return word in {"step", "repeated", "tiled", "maximum", "input_noise", "recurrent_dropout"}


NAMED = sorted({spec for row in CARRIED for spec in specs(row)})
OPTIONED = [row for row in CARRIED if OPTION.search(row[3])]


def test_it_has_every_form_once_and_says_how_many_there_are():
    assert len(ROWS) == 103 == len({row[0] for row in ROWS})
    assert all(len(row) == 4 for row in ROWS)
    counts = len(CARRIED), len(CARRIED) - len(OPTIONED), len(OPTIONED)
    said = re.search(
        r"(\d+) of the 103 can be written now, (\d+) of them as cells .* and (\d+) by an option"
        r".*?; (\d+) cannot",
        PAGE,
        re.DOTALL,
    )
    assert tuple(map(int, said.groups())) == (*counts, len(ROWS) - len(CARRIED))


def test_a_row_says_how_a_form_is_written_or_what_is_missing():
    for form, _, carried, how in ROWS:
        if carried:
            assert specs((form, "", carried, how)), form
            assert ("training option" in carried) == bool(OPTION.search(how)), form
        else:
            assert how.startswith(("missing: ", "not written: ")), form


def test_what_carries_a_form_is_described():
    _, _, described = PAGE.partition("| what carries forms |")
    words = {
        word.strip()
        for row in re.findall(r"^\| ([^|]+) \| \[|^\| ([^|]+) \| \[", described, re.M)
        for word in row[0].split(",")
    }
    for row in CARRIED:
        assert {word.strip() for word in row[2].split(",")} <= words | {"-"}, row


@pytest.mark.parametrize("spec", NAMED)
def test_a_cell_that_is_named_runs_on_auto_and_trains_a_step(spec):
    torch.manual_seed(1)
    rnn = odyssey.RNN(odyssey.get_cell(spec), UNITS, UNITS, dtype=torch.float64)
    readout = torch.nn.Linear(UNITS, UNITS, dtype=torch.float64)
    x, target = torch.randn(2, STEPS, BATCH, UNITS, dtype=torch.float64)
    further = {
        name: torch.rand(STEPS, BATCH, size, dtype=torch.float64)
        for name, size in rnn.further_sizes.items()
    } or None
    parameters = dict(rnn.named_parameters())

    def loss():
        return (readout(rnn(x, inputs=further)[0]) - target).square().mean()

    before = loss()
    before.backward()
    trained = {n: p.grad for n, p in parameters.items() if p.grad is not None}
    assert all(gradient.isfinite().all() for gradient in trained.values())
    assert any(gradient.any() for gradient in trained.values()) == (spec != "esn")
    with torch.no_grad():
        every = [p for p in (*parameters.values(), *readout.parameters()) if p.grad is not None]
        norm = max(1.0, sum(float(p.grad.square().sum()) for p in every) ** 0.5)
        for parameter in every:
            parameter -= 1e-4 / norm * parameter.grad
    assert loss() < before, "a small step down the gradient makes the loss smaller"


@pytest.mark.parametrize("row", OPTIONED, ids=lambda row: row[0])
def test_an_option_that_is_named_trains(row):
    options = {name: float(value) for name, value in OPTION.findall(row[3])}
    assert options.keys() <= HYPERPARAMETERS.keys()
    (spec,) = specs(row)
    config = TrainingConfig(
        batch_size=2, unroll=4, updates_per_epoch=1, epochs=1, valid_characters=40,
        test_characters=40, eval_batch=2, eval_unroll=20,
    )  # fmt: skip
    rows = [
        train(
            odyssey.get_cell(spec), get_task("xml"), [Member(0, 1, hidden_size=4, **more)], config
        ).results[0]
        for more in (options, {})
    ]
    with_it, without = rows
    assert with_it.status == "ok"
    assert np.isfinite(with_it.test_nats)
    assert with_it.test_nats != without.test_nats
