"""docs/diagrams.md: the tasks of its commands have the shapes that it draws."""

import re
import shlex
from pathlib import Path

import pytest

from odyssey.tasks import get_task

PAGE = (Path(__file__).parents[1] / "docs" / "diagrams.md").read_text("utf-8")
COMMANDS = re.findall(r"^odyssey (train .*)$", PAGE, re.M)
SPECS = [shlex.split(command)[3] for command in COMMANDS]


def counted(spec):
    """Gives steps, and which of them count, of a few test sequences."""
    examples = get_task(spec).held_out_examples("test")[:20]
    for example in examples:
        weights = example.weights_T
        yield len(example), [True] * len(example) if weights is None else weights.tolist()


def test_the_page_has_a_command_for_each_diagram():
    assert [spec.partition("@")[0] for spec in SPECS] == [
        "digits",
        "house-numbers",
        "digits",
        "dates",
        "frames",
    ]


@pytest.mark.parametrize(
    ("spec", "shape"), list(zip(SPECS, ("one", "given", "last", "late", "all"), strict=True))
)
def test_what_is_counted_is_what_is_drawn(spec, shape):
    condition = get_task(spec).signature.condition
    assert (condition is not None) == (shape == "given")
    assert shape != "given" or condition.way == "first"
    for steps, counts in counted(spec):
        assert (steps == 1) == (shape == "one")
        if shape in ("given", "all"):
            assert all(counts)
        elif shape in ("one", "last"):
            assert counts == [False] * (steps - 1) + [True]
        else:
            first = counts.index(True)
            assert 0 < first < steps - 1
            assert all(counts[first:])
