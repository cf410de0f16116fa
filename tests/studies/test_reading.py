"""TOML text is read or refused in one line, and settings from outside change any field."""

import pytest

from odyssey.errors import ConfigError
from odyssey.studies.reading import parse_setting
from odyssey.studies.study import parse_study

MINIMAL = 'name = "tiny"\ncells = ["lstm", "gru"]\ntasks = ["xml", "arithmetic"]\n'
NOT_TOML = {
    "a sentence": "train an lstm, please",
    "half a line": "name = ",
    "a key twice": "name = 'a'\nname = 'b'",
    "a table twice": "[space]\n[space]",
    "deep arrays": "x = " + "[" * 50_000,
    "deep tables": "x = " + "{a = " * 10_000,
    "a dotted bomb": ".".join("a" * 50_000) + " = 1",
    "a number of 5,000 digits": "members = " + "9" * 5_000,
    "a null byte": "name = 'a\x00b'",
    "an integer of 70 bits": "members = 1_180_591_620_717_411_303_424",
    "an integer of 400 digits": "space.learning_rate = { uniform = [0, 1" + "0" * 400 + "] }",
}


@pytest.mark.parametrize("text", NOT_TOML.values(), ids=NOT_TOML)
def test_what_is_no_toml_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match=r"not a (TOML file|study): ") as raised:
        parse_study(text)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


def test_settings_are_dotted_keys_with_toml_values():
    settings = [
        "training.epochs=7",
        "space.learning_rate={ choice = [0.1, 0.2] }",
        "space.hidden_size = 16",
        'tasks=["memorization"]',
        "training.nesterov=true",
    ]
    study = parse_study(MINIMAL, settings=settings)
    assert study.config.epochs == 7
    assert study.config.nesterov is True
    assert study.space == {"learning_rate": {"choice": [0.1, 0.2]}, "hidden_size": 16}
    assert study.tasks == ("memorization",)


def test_a_name_that_stands_in_one_table_needs_no_table():
    settings = ["hidden_size=16", "epochs=7", "learning_rate={ log_uniform = [0.01, 0.1] }"]
    study = parse_study(MINIMAL, settings=settings)
    assert study.config.epochs == 7
    assert study.distributions["hidden_size"].values == (16,)
    assert study.distributions["learning_rate"].kind == "log_uniform"
    strategy = ["strategy.name=random", "candidates=9"]
    assert parse_study(MINIMAL, settings=strategy).search.candidates == 9


def test_a_training_option_needs_no_table_and_the_last_setting_wins():
    text = MINIMAL + 'members = 5\n[training]\nepochs = 2\ndtype = "float64"\n'
    study = parse_study(text, settings=["epochs=3", "training.epochs=4", "members=1"])
    assert study.config.epochs == 4
    assert study.config.dtype == "float64"  # what is not set stays
    assert study.members == 1


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("a.b = -1.5e-3", "a.b", -0.0015),
        ("optimizer=adam", "optimizer", "adam"),
        ('optimizer="adam"', "optimizer", "adam"),
        ("name=two words", "name", "two words"),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("name=1\nmembers=9", "name", "1\nmembers=9"),  # one setting sets one key
        ("seed=1 # first", "seed", 1),
        ("cells=[1", "cells", "[1"),
    ],
)
def test_a_setting_is_toml_or_else_plain_text(setting, key, value):
    assert parse_setting(setting) == (key, value)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("epochs", "--set takes key=value, got 'epochs'"),
        ("=3", "--set takes key=value"),
        ("name.first=3", "name is not a table"),
        ("trainin.epochs=3", "no study field called 'trainin'; closest: training"),
        ("training.epohcs=3", "no training option called 'epohcs'; closest: epochs"),
        ("members=many", "members must be a whole number from 1 to 100,000, got 'many'"),
        ("name=\udcff", "not UTF-8"),
        ("members=" + "9" * 5_000, "members must be a whole number"),
    ],
)
def test_a_wrong_setting_is_refused(setting, says):
    with pytest.raises(ConfigError, match=says) as raised:
        parse_study(MINIMAL, settings=[setting])
    assert len(str(raised.value)) < 300
