"""Every field has bounds, which hold wherever its value comes from: API, study or --set."""

import dataclasses
import math

import pytest

from odyssey.compiler.backends import BACKENDS
from odyssey.errors import ConfigError
from odyssey.hyperparameters import HYPERPARAMETERS, SEEDS, Member
from odyssey.ranges import Range
from odyssey.studies.study import LIMITS, Study, parse_study
from odyssey.training.config import OPTIONS, SWITCH, TrainingConfig
from odyssey.training.space import search_space

NONSENSE = [True, "1", "x" * 10_000, math.nan, math.inf, -math.inf, [1], {}, b"1", 10**5_000, 1j]
STUDY = 'name = "a"\ncells = ["gru"]\ntasks = ["xml"]\n'
RANGES = {
    **{f"training.{n}": b for n, b in OPTIONS.items() if isinstance(b, Range)},
    **{f"space.{n}": row.range for n, row in HYPERPARAMETERS.items()},
    **LIMITS,
}


def edges(bounds):
    """Gives values just inside and just outside of a range."""
    step = 1 if bounds.kind is int else None
    inside, outside = [], []
    for end, sign, is_open in ((bounds.least, -1, bounds.above), (bounds.most, 1, bounds.below)):
        end = bounds.kind(end)
        out = end + sign if step else math.nextafter(end, sign * math.inf)
        back = end - sign if step else math.nextafter(end, -sign * math.inf)
        (outside if is_open else inside).append(end)
        inside.append(back)
        outside.append(out)
    return inside, outside


def set_by_api(name, value):
    table, _, field = name.rpartition(".")
    if table == "training":
        TrainingConfig(**{"schedule": "constant", **beside(field, value), field: value})
    elif table == "space":
        Member(0, 0, **{field: value})
        search_space({field: value})
        search_space({field: {"choice": [value]}})
    else:
        Study("a", ("gru",), ("xml",), **{field: value})


PARTS = "training.accumulate"


def beside(field, value):
    """What another option must be, so that a value is legal: parts of a batch divide it."""
    return {"batch_size": value} if field == "accumulate" and RANGES[PARTS].admits(value) else {}


def set_in_text(name, value):
    huge = isinstance(value, int) and value.bit_length() > 10_000  # more than Python prints
    shown = "9" * 5_000 if huge else str(value).lower() if value is True else repr(value)
    table, _, field = name.rpartition(".")
    others = [f"{table}.{other}={shown}" for other in beside(field, value)]
    parse_study(STUDY, settings=[*others, f"{name}={shown}"])


@pytest.mark.parametrize("set_to", [set_by_api, set_in_text])
@pytest.mark.parametrize("name", RANGES)
def test_values_inside_are_taken_and_others_refused_with_the_bound(name, set_to):
    bounds = RANGES[name]
    inside, outside = edges(bounds)
    for value in inside:
        set_to(name, value)
    refused = [*outside, *NONSENSE, *([2.5] if bounds.kind is int else [])]
    for value in refused:
        if set_to is set_in_text and isinstance(value, bytes | complex | dict):
            continue
        with pytest.raises(ConfigError) as caught:
            set_to(name, value)
        says = str(caught.value)
        assert name.rpartition(".")[2] in says
        assert str(bounds) in says
        assert "\n" not in says
        assert len(says) < 200


@pytest.mark.parametrize("name", [n for n, a in OPTIONS.items() if not isinstance(a, Range)])
def test_words_and_switches_are_those_of_the_table(name):
    allowed = OPTIONS[name]
    for value in allowed:
        if value != "plateau":  # which needs patience
            set_by_api(f"training.{name}", value)
    for value in (1, 0, None, math.nan, "", "y" * 10_000, "yes", [], 1.5):
        with pytest.raises(ConfigError) as caught:
            set_by_api(f"training.{name}", value)
        assert f"training.{name}" in str(caught.value)
        assert len(str(caught.value)) < 300
    if allowed is not SWITCH:
        with pytest.raises(ConfigError):
            set_by_api(f"training.{name}", True)


def test_every_field_has_its_row():
    assert set(OPTIONS) == {f.name for f in dataclasses.fields(TrainingConfig)}
    assert {n: row.default for n, row in HYPERPARAMETERS.items()} == Member(0, 0).values
    assert OPTIONS["backend"] == ("auto", *BACKENDS)
    for value in (-1, SEEDS.most + 1, 0.5, True):
        with pytest.raises(ConfigError, match="seed must be"):
            Member(0, value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("space.hidden_size", 2_147_483_647),
        ("training.epochs", 1_000_000_000),
        ("space.num_layers", 1_000_000),
        ("space.learning_rate", 0),
        ("space.learning_rate", "1e308"),
        ("training.backend", "x"),
    ],
)
def test_nonsense_of_old_is_refused(setting, value):
    with pytest.raises(ConfigError):
        parse_study(STUDY, settings=[f"{setting}={value}"])
