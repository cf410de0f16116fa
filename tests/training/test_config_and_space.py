"""Training options, hyperparameters and search spaces as data."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from odyssey.distributions import DISTRIBUTION_KINDS
from odyssey.errors import ConfigError
from odyssey.hyperparameters import HYPERPARAMETERS, Member
from odyssey.studies.study import parse_study
from odyssey.training.config import PRESETS, TrainingConfig, training_config
from odyssey.training.seeds import stream
from odyssey.training.space import (
    LEFT_OPEN,
    SPACE_PRESETS,
    draw_members,
    fixed_by,
    grid_size,
    search_space,
    searched_by,
)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_legal_and_can_be_overridden(preset):
    config = training_config({"preset": preset, "epochs": 3})
    assert config.epochs == 3
    assert config.batch_size == PRESETS[preset]["batch_size"]
    assert config.passes == 0  # another budget than the preset's was given
    assert training_config({"preset": preset, "updates_per_epoch": 3}).passes == 0
    both = training_config({"preset": preset, "epochs": 3, "passes": 2})
    assert (both.epochs, both.passes) == (3, 2)


# Options of how the loop runs here: no protocol has a word about them.
OURS = {
    *("updates_per_epoch", "eval_batch", "eval_unroll", "eval_warmup", "diverged_factor"),
    *("padding", "dtype", "backend", "threads", "passes", "start", "smoothing"),
    *("longer", "accumulate", "device"),
}
# Options that are read only where another one has this value.
READ_WITH = {
    "nesterov": ("optimizer", "sgd"),
    "scale_by_momentum": ("optimizer", "sgd"),
    "rmsprop_decay": ("optimizer", "rmsprop"),
    "halvings": ("schedule", "plateau"),
    "decay": ("schedule", "decay"),
    "decay_after": ("schedule", "decay"),
    "decay_every": ("schedule", "decay"),
    "epochs": ("passes", 0),
}
# preset -> what its paper prints. Greff et al. (2015), sections 3 and 4; Jozefowicz et al. (2015),
# sections 3.5 and 3.6; Karpathy et al. (2015), section 4.1, clipping as in char-rnn's train.lua;
# train.lua of char-rnn and of torch-rnn; the gist min-char-rnn.
PAPERS = {
    "odyssey": (
        {
            "batch_size": 1, "optimizer": "sgd", "nesterov": True, "scale_by_momentum": True,
            "init": "normal", "schedule": "constant", "patience": 15, "epochs": 150,
        },
        {"init_scale": 0.1},
        {"hidden_size", "learning_rate", "momentum", "input_noise"},
    ),
    "jozefowicz": (
        {
            "batch_size": 20, "unroll": 35, "optimizer": "sgd", "loss": "sum",
            "init": "uniform_fan", "schedule": "plateau", "patience": 3, "halvings": 4,
            "epochs": 100,
        },
        {},
        {"init_scale", "learning_rate", "clip_norm", "num_layers", "parameters"},
    ),
    "karpathy": (
        {
            "batch_size": 100, "unroll": 100, "optimizer": "rmsprop", "rmsprop_decay": 0.95,
            "loss": "sum", "init": "uniform", "schedule": "decay", "decay": 0.95,
            "decay_after": 10, "decay_every": 1, "epochs": 50, "passes": 50,
            "valid_characters": 400_000, "test_characters": 400_000,
        },
        {"learning_rate": 2e-3, "init_scale": 0.08, "clip_value": 5.0},
        {"hidden_size", "num_layers"},
    ),
    "char-rnn": (
        {
            "batch_size": 50, "unroll": 50, "optimizer": "rmsprop", "rmsprop_decay": 0.95,
            "loss": "sum", "init": "uniform", "schedule": "decay", "decay": 0.97,
            "decay_after": 10, "decay_every": 1, "patience": 0, "passes": 50,
            "start": "beginning", "valid_characters": 10**9, "test_characters": 10**9,
        },
        {
            "hidden_size": 128, "num_layers": 2, "learning_rate": 2e-3, "init_scale": 0.08,
            "forget_bias": 1.0, "clip_value": 5.0,
        },
        set(),
    ),
    "torch-rnn": (
        {
            "batch_size": 50, "unroll": 50, "optimizer": "adam", "loss": "mean",
            "init": "normal_fan", "schedule": "decay", "decay": 0.5, "decay_after": 4,
            "decay_every": 5, "patience": 0, "passes": 50, "start": "beginning",
            "valid_characters": 10**9, "test_characters": 10**9,
        },
        {
            "hidden_size": 128, "num_layers": 2, "learning_rate": 2e-3, "init_scale": 0.5**0.5,
            "forget_bias": 1.0, "clip_value": 5.0,
        },
        set(),
    ),
    "min-char-rnn": (
        {
            "batch_size": 1, "unroll": 25, "optimizer": "adagrad", "loss": "sum",
            "init": "normal", "schedule": "constant", "patience": 0, "start": "beginning",
            "smoothing": 0.999, "updates_per_epoch": 100, "epochs": 100,
            "valid_characters": 5_000, "test_characters": 10**9,
        },
        {
            "hidden_size": 100, "num_layers": 1, "learning_rate": 0.1, "init_scale": 0.01,
            "clip_value": 5.0,
        },
        set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_paper_and_is_whole(preset):
    assert set(PRESETS) == set(SPACE_PRESETS) == set(LEFT_OPEN) == set(PAPERS)
    training, fixed, searched = PAPERS[preset]
    assert PRESETS[preset] == training
    assert (fixed_by(preset), searched_by(preset)) == (fixed, searched)
    config = training_config({"preset": preset})
    for name in TrainingConfig.__dataclass_fields__:
        idle = name in READ_WITH and getattr(config, READ_WITH[name][0]) != READ_WITH[name][1]
        assert (name in training) + (name in LEFT_OPEN[preset]) <= 1, name
        said = (name in training) or (name in OURS) or (name in LEFT_OPEN[preset]) or idle
        assert said or (preset, name) in {("jozefowicz", "nesterov"), (
            "jozefowicz", "scale_by_momentum")}, name  # plain SGD  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_fixes_holds_wherever_it_is_named(preset):
    fixed = fixed_by(preset)
    for space in (
        search_space({}, protocol=preset),
        search_space({"preset": preset}),
        search_space({"momentum": 0.5}, protocol=preset),
    ):
        assert {n: space[n].values for n in fixed} == {n: (v,) for n, v in fixed.items()}
    for name in fixed:  # what is given goes before the preset
        other = HYPERPARAMETERS[name].range.kind(7)
        given = search_space({name: other}, protocol=preset)[name]
        assert given.values == (other,)
    assert set(fixed_by(preset)) | searched_by(preset) <= set(HYPERPARAMETERS)


def test_a_number_of_parameters_takes_the_place_of_a_presets_size():
    assert "hidden_size" not in search_space({"preset": "odyssey", "parameters": 5_000})
    assert "parameters" not in search_space({"preset": "jozefowicz", "hidden_size": 20})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "no training option called 'epoch'; closest: epochs"),
        ({"epochs": -1}, "from 0"),
        ({"eval_warmup": -1}, "from 0"),
        ({"epochs": 2.5}, "a whole number"),
        ({"epochs": True}, "a whole number"),
        ({"unroll": 0}, "from 1"),
        ({"decay": float("nan")}, "a number above 0 up to 1"),
        ({"decay": 1.5}, "a number above 0 up to 1"),
        ({"padding": float("inf")}, "from 1"),
        ({"optimizer": "adamx"}, "closest: adam"),
        ({"schedule": "plateau"}, "patience"),
        ({"hidden_size": 3}, "write space.hidden_size"),
        ({"hidden_sizes": 3}, "closest: hidden_size"),
        ({"preset": "karpaty"}, "closest: karpathy"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        training_config(options)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"epochs": 3}, "write training.epochs"),
        ({"lr": 0.1}, "no hyperparameter called 'lr'"),
        ({"learning_rate": {"loguniform": [1, 2]}}, "closest: log_uniform"),
        ({"learning_rate": {"log_uniform": [0, 1]}}, "0 < low"),
        ({"learning_rate": {"uniform": [2, 1]}}, "low <= high"),
        ({"learning_rate": {"uniform": [1]}}, "low, high"),
        ({"learning_rate": {"choice": []}}, "must be a list"),
        ({"learning_rate": {"choice": ["a"]}}, "a number above 0"),
        ({"learning_rate": {"grid": []}}, "must be a list"),
        ({"learning_rate": {"grid": [0.1, 0]}}, "a number above 0"),
        ({"hidden_size": {"grid": [3, 4.5]}}, "a whole number"),
        ({"hidden_size": {"grid": [3, 4, 3]}}, "has a value twice"),
        ({"learning_rate": float("nan")}, "a number above 0"),
        ({"hidden_size": 2.5}, "a whole number"),
        ({"hidden_size": 0}, "from 1"),
        ({"hidden_size": 5, "parameters": 500}, "not both"),
        ({"preset": "paper"}, "no space preset"),
        ({"learning_rate": {"normal": [0.1, 0]}}, "deviation > 0"),
        ({"learning_rate": {"normal": [0.1, True]}}, r"must be \[mean, deviation\]"),
        ({"learning_rate": {"log_normal": [0, 1]}}, "median > 0"),
        ({"momentum": {"normal": [2, 1]}}, "a number from 0 to 1"),
        ({"hidden_size": {"integers": [4.5, 9]}}, "two whole numbers"),
        ({"hidden_size": {"uniform": [3, 5], "step": 8}}, "no multiple of step = 8"),
        ({"hidden_size": {"uniform": [3, 50], "step": 0.5}}, "step must be a whole number"),
        ({"hidden_size": {"choice": [3, 5], "step": 1}}, "lists its values"),
        ({"hidden_size": {"step": 1}}, "give one of"),
    ],
)
def test_bad_spaces(space, message):
    with pytest.raises(ConfigError, match=message):
        search_space(space)


def test_bad_members():
    for bad in ({"momentum": 1.0}, {"seed": -1}, {"learning_rate": "0.1"}, {"rate": 0.1}):
        with pytest.raises(ConfigError):
            Member(**{"member": 0, "seed": 0} | bad)


@pytest.mark.parametrize("preset", SPACE_PRESETS)
def test_draws_are_legal_members(preset):
    for data in draw_members(search_space({"preset": preset}), count=50, seed=1):
        Member(**data)


def test_the_odysseys_ranges():
    draws = draw_members(search_space({"preset": "odyssey"}), count=3000, seed=2)
    size = np.array([d["hidden_size"] for d in draws])
    assert size.min() >= 20
    assert size.max() <= 200
    assert abs(np.log(size).mean() - math.log(math.sqrt(20 * 200))) < 0.05
    rate = np.log10([d["learning_rate"] for d in draws])
    assert -6 <= rate.min() < -5.9
    assert -2.1 < rate.max() <= -2
    momentum = np.array([d["momentum"] for d in draws])
    assert ((momentum >= 0) & (momentum <= 0.99)).all()
    assert abs(np.mean(momentum > 0.9) - 0.5) < 0.03  # log-uniform in 1 - momentum
    assert abs(np.mean([d["input_noise"] for d in draws]) - 0.5) < 0.03


def drawn(name, table, count=4000):
    space = search_space({name: table})
    return np.array([d[name] for d in draw_members(space, count=count, seed=3)])


# what a hyperparameter is drawn from -> the same by scipy, cut off at its range
BY_SCIPY = {
    ("learning_rate", "normal", (0.1, 0.1)): stats.truncnorm(-1, np.inf, 0.1, 0.1),
    ("momentum", "normal", (0.9, 0.3)): stats.truncnorm(-3, 0.1 / 0.3, 0.9, 0.3),
    ("init_scale", "log_normal", (0.5, 0.7)): stats.lognorm(0.7, scale=0.5),
    ("learning_rate", "uniform", (0.2, 0.3)): stats.uniform(0.2, 0.1),
    ("learning_rate", "log_uniform", (1e-4, 1e-1)): stats.loguniform(1e-4, 1e-1),
}


@pytest.mark.parametrize(("name", "kind", "numbers"), BY_SCIPY)
def test_draws_are_distributed_as_said(name, kind, numbers):
    values = drawn(name, {kind: list(numbers)})
    assert stats.kstest(values, BY_SCIPY[name, kind, numbers].cdf).pvalue > 0.01


def test_whole_numbers_are_drawn_alike_and_steps_are_kept_to():
    values, counts = np.unique(drawn("hidden_size", {"integers": [3, 7]}), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6, 7]
    assert stats.chisquare(counts).pvalue > 0.01
    sizes = drawn("hidden_size", {"log_uniform": [9, 60], "step": 8}, count=500)
    assert set(sizes.tolist()) == {16, 24, 32, 40, 48, 56}
    rates = drawn("learning_rate", {"normal": [0.2, 0.2], "step": 0.1}, count=300)
    assert {0.1, 0.2, 0.3, 0.4} <= set(rates.tolist())  # to the bit, and never 0


@pytest.mark.parametrize("kind", DISTRIBUTION_KINDS)
def test_every_distribution_survives_the_record_of_a_study(kind):
    study = parse_study(
        f'name="s"\ncells=["elman"]\ntasks=["xml"]\n[space]\nnum_layers={{{kind}=[1, 2], step=1}}'
        if kind != "one_minus_log_uniform"
        else f'name="s"\ncells=["elman"]\ntasks=["xml"]\n[space]\nmomentum={{{kind}=[0.1, 0.2]}}'
    )
    again = parse_study(study.to_toml())
    assert again.distributions == study.distributions
    name, *_ = study.distributions
    assert search_space({name: study.distributions[name].plain}) == {
        name: study.distributions[name]
    }


def test_draws_do_not_depend_on_each_other():
    base = {"learning_rate": {"log_uniform": [1e-3, 1e-1]}, "hidden_size": {"uniform": [4, 90]}}
    few = draw_members(search_space(base), count=3, seed=5)
    many = draw_members(search_space(base | {"momentum": {"uniform": [0, 0.9]}}), count=6, seed=5)
    for a, b in zip(few, many, strict=False):
        assert {k: b[k] for k in a} == a
    later = draw_members(search_space(base), count=1, seed=5, first=2)
    assert later == few[2:]
    assert draw_members(search_space(base), count=3, seed=6) != few


GRIDS = {"num_layers": {"grid": [2, 1]}, "parameters": {"grid": [900, 500, 700]}}


@pytest.mark.parametrize("names", list(itertools.permutations(GRIDS)))
def test_grids_are_crossed_in_the_order_in_which_they_are_named(names):
    drawn = {"learning_rate": {"log_uniform": [1e-3, 1e-1]}, "momentum": 0.5}
    # the preset names num_layers before any of them: what is given decides
    space = search_space({"preset": "karpathy"} | drawn | {name: GRIDS[name] for name in names})
    members = draw_members(space, count=12, seed=5)
    expected = list(itertools.product(*(GRIDS[name]["grid"] for name in names)))
    assert grid_size(space) == len(expected) == 6
    assert [tuple(m[name] for name in names) for m in members] == 2 * expected
    assert draw_members(space, count=4, seed=5, first=7) == members[7:11]
    alone = draw_members(search_space(drawn), count=12, seed=5)
    for member, other in zip(members, alone, strict=True):  # what is drawn is drawn as ever
        assert other.items() <= member.items()
    assert len({m["seed"] for m in members}) == 12


def test_a_space_without_grids_has_one_combination():
    assert grid_size(search_space({"preset": "jozefowicz"})) == 1


def test_streams_are_named():
    a = stream(1, "data", "xml").random(4)
    assert np.array_equal(a, stream(1, "data", "xml").random(4))
    assert not np.array_equal(a, stream(1, "data", "arithmetic").random(4))
    assert not np.array_equal(a, stream(2, "data", "xml").random(4))


def test_default_config_is_documented():
    documented = TrainingConfig.__doc__ or ""
    missing = [n for n in TrainingConfig.__dataclass_fields__ if f"{n}:" not in documented]
    assert not missing
