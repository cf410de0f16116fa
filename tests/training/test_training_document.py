"""docs/training.md names every hyperparameter and every training option."""

import re
from pathlib import Path

import pytest

from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.training.config import OPTIONS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")


def named(title):
    """The words in code of a section."""
    return set(re.findall(r"`(\w+)`", DOCUMENT.split(f"\n## {title}")[1].split("\n## ")[0]))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_named(name):
    assert name in named("Options")


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_hyperparameter_is_named(name):
    assert name in named("Hyperparameters")
