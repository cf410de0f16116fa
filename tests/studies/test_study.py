"""A study file is read whole or refused in one line, and its trials are the same everywhere."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from odyssey.errors import CellError, ConfigError
from odyssey.specs import CELL_SETS, get_cell, shown_names
from odyssey.studies.study import (
    LIMITS,
    MAX_STUDY_BYTES,
    Study,
    parse_study,
    read_study,
    recorded_study,
)
from odyssey.studies.trial import Trial
from odyssey.tasks.sets import TASK_SETS
from odyssey.training.config import EARLIER, PRESETS
from odyssey.training.space import fixed_by

MINIMAL = 'name = "tiny"\ncells = ["lstm", "gru"]\ntasks = ["xml", "arithmetic"]\n'
FULL = """
name = "full"
description = "Every field, with “quotes”, a \\\\ and\\ntwo lines."
cells = ["odyssey9", "gru", "lstm:no_output_gate+forget_bias=2"]
tasks = ["xml", "arithmetic@digits=4"]
members = 5
population = 2
seed = 7
runner = "local"
workers = 3

[training]
preset = "jozefowicz"
epochs = 2
dtype = "float64"

[space]
preset = "jozefowicz"
num_layers = 1
momentum = { one_minus_log_uniform = [0.01, 1.0] }
clip_norm = { choice = [1, 5.0] }
hidden_size = { log_uniform = [4, 8] }
"""


def study_of(**fields):
    given = {"name": "tiny", "cells": ["lstm", "gru"], "tasks": ["xml"]} | fields
    return parse_study(tomli_w.dumps(given))


def trials_of(study):
    return study.trials(study.resolve_cells())


def test_a_minimal_study_has_the_documented_defaults():
    study = parse_study(MINIMAL)
    assert study == Study(
        name="tiny",
        cells=("lstm", "gru"),
        tasks=("xml", "arithmetic"),
        description="",
        members=4,
        population=0,
        seed=1,
        runner="ray",
        workers=2,
        training={},
        space={},
    )
    assert study.config.optimizer == "sgd"


def test_every_field_is_read():
    study = parse_study(FULL)
    assert study.description.endswith("a \\ and\ntwo lines.")
    assert (study.members, study.population, study.seed) == (5, 2, 7)
    assert (study.runner, study.workers) == ("local", 3)
    assert (study.config.schedule, study.config.epochs, study.config.dtype) == (
        "plateau",
        2,
        "float64",
    )
    assert list(study.resolve_cells())[:2] == list(CELL_SETS["odyssey9"])[:2]


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_the_resolved_study_reads_back_as_itself(text):
    study = parse_study(text)
    again = parse_study(study.to_toml())
    assert again == study
    assert again.to_toml() == study.to_toml()
    assert [t.id for t in trials_of(again)] == [t.id for t in trials_of(study)]


WRONG = [
    *((f"{name} = {value}", name) for name in LIMITS for value in ("-1", "1.5", "true", '"3"')),
    ("members = 0", "members must be a whole number from 1"),
    ("members = 100_000_000_000", "members must be a whole number from 1 to 100,000"),
    ("workers = 0", "workers must be a whole number from 1"),
    ("seed = nan", "seed must be a whole number"),
    ("seed = 1979-05-27", "seed must be a whole number"),
    ("name = 3", "name must be text, got 3"),
    ('name = " "', "name is empty"),
    ("description = [1]", r"description must be text, got \[1\]"),
    ("runner = 1", "runner must be text"),
    ('runner = "rya"', "no runner called 'rya'; closest: ray"),
    ('cells = "lstm"', "cells must be a list of texts, got 'lstm'"),
    ("cells = 3", "cells must be a list of texts, got 3"),
    ('cells = ["lstm", 3]', "cells must be a list of texts"),
    ("cells = []", "cells is empty"),
    ('cells = ["lstm", "gru", "lstm"]', "cells names 'lstm' twice"),
    ("tasks = {}", "tasks must be a list of texts"),
    ("tasks = []", "tasks is empty"),
    ('tasks = ["xml", "xml"]', "tasks names 'xml' twice"),
    ("training = 3", "training must be a table, got 3"),
    ("space = [1]", r"space must be a table, got \[1\]"),
    ("training.preset = []", r"training.preset must be text, got \[\]"),
    ("space.preset = 1", "space.preset must be text, got 1"),
    ('training.preset = "odysey"', "no training preset called 'odysey'; closest: odyssey"),
    ('space.preset = "karpathi"', "no space preset called 'karpathi'"),
    ("member = 4", "no study field called 'member'; closest: members"),
    ("epochs = 3", r"epochs is no field of a study itself: write training\.epochs"),
    (
        "learning_rate = 0.1",
        r"learning_rate is no field of a study itself: write space\.learning_rate",
    ),
    ("training.epoch = 3", "no training option called 'epoch'; closest: epochs"),
    (
        "training.learning_rate = 3",
        "learning_rate is a hyperparameter of members: write space.learning_rate",
    ),
    (
        "training.epochs = 1.5",
        "must be a whole number from 0 to 1,000,000, got 1.5",
    ),
    ("training.padding = nan", "training.padding must be a number from 1 to 1,000,000, got nan"),
    ('training.optimizer = "adem"', "no training.optimizer called 'adem'; closest: adam"),
    ("training.nesterov = 1", "training.nesterov must be true or false, got 1"),
    ('training.schedule = "plateau"', "needs training.patience"),
    ("space.hidden_sizes = 3", "no hyperparameter called 'hidden_sizes'; closest: hidden_size"),
    ("space.hidden_size = 0", "space.hidden_size must be a whole number from 1 to 65,536, got 0"),
    ("space.learning_rate = 0", "must be a number above 0 up to 1,000,000, got 0"),
    ('training.backend = "x"', "no training.backend called 'x'"),
    ("space.learning_rate = { uniform = [1] }", r"must be \[low, high\]"),
    ("space.learning_rate = { uniform = [2, 1] }", "needs low <= high"),
    ("space.learning_rate = { log_uniform = [0, 1] }", "needs 0 < low <= high"),
    ("space.learning_rate = { loguniform = [1, 2] }", "closest: log_uniform"),
    ("space.learning_rate = { choice = [] }", "must be a list"),
    ("space.learning_rate = {}", "give one of uniform, log_uniform"),
    (
        "space.momentum = { choice = [0.5, true] }",
        "a number from 0 and below 1, got True",
    ),
    ("space = { hidden_size = 4, parameters = 900 }", "give hidden_size or parameters, not both"),
]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=[line for line, _ in WRONG])
def test_every_field_is_checked(line, says):
    field = line.split(" ")[0].split(".")[0]
    rest = "".join(k for k in MINIMAL.splitlines(keepends=True) if k.split(" ")[0] != field)
    with pytest.raises(ConfigError, match=says) as raised:
        parse_study(rest + line)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("field", ["name", "cells", "tasks"])
def test_what_a_study_must_have(field):
    rest = "".join(k for k in MINIMAL.splitlines(keepends=True) if not k.startswith(field))
    with pytest.raises(ConfigError, match=f"the study has no '{field}'"):
        parse_study(rest)


def test_a_set_of_tasks_stands_for_its_members(corpora):
    members = list(TASK_SETS["unseen10"])
    study = parse_study(MINIMAL, settings=['tasks=["xml", "unseen10", "copy"]'])
    assert list(study.tasks) == ["xml", *(m for m in members if m != "copy"), "copy"]
    assert parse_study(study.to_toml()) == study
    stages = ['stages=[{name="a", tasks=["unseen10"]}]', "strategy.name=random"]
    (stage,) = parse_study(MINIMAL, settings=stages).search.stages
    assert list(stage.tasks) == members
    with pytest.raises(ConfigError, match="names 'xml' twice"):
        parse_study(MINIMAL, settings=['tasks=["xml", "unseen10", "xml"]'])


def test_cells_of_files_are_shown_by_the_names_that_they_give_themselves(tmp_path):
    text = get_cell("elman").text
    for folder, name in (("a", "mine"), ("b", "mine"), ("c", "lstm"), ("d", "own"), ("e", "own")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.cell").write_text(text.replace("cell elman", f"cell {name}"))
    specs = [f"{tmp_path}/{folder}/x.cell" for folder in "abcd"]
    wanted = ["mine", "mine (x.cell)", "lstm (x.cell)", "own"]
    assert list(shown_names(specs).values()) == wanted
    ablated = shown_names(["lstm", *(f"{s}:no_bias" for s in specs), specs[1]])
    assert list(ablated.values()) == ["lstm", *(f"{n}:no_bias" for n in wanted), wanted[1]]
    more = shown_names([*specs, f"{tmp_path}/e/x.cell", f"{tmp_path}/e/../a/x.cell"])
    assert len(set(more.values())) == 6
    assert str(tmp_path) not in " ".join(more.values())


def test_the_study_file_is_named_in_the_error(tmp_path):
    def says(path):
        with pytest.raises(ConfigError) as raised:
            read_study(path)
        assert "\n" not in str(raised.value)
        return str(raised.value).removeprefix(str(path))

    file = tmp_path / "study.toml"
    assert says(file) == ": there is no such file"
    assert says(tmp_path) == ": is not a file"
    file.write_bytes(b"name = '\xff'")
    assert says(file) == ": not UTF-8 text (byte 8)"
    file.write_bytes(b"#" * (MAX_STUDY_BYTES + 1))
    assert says(file) == f": too long; at most {MAX_STUDY_BYTES:,} bytes are read"
    file.write_text(MINIMAL + "memberss = 3")
    assert says(file).startswith(": no study field called 'memberss'; closest: members")
    assert "cannot be read" in says(tmp_path / ("x" * 300))
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())  # as some editors begin a file
    assert read_study(file) == parse_study(MINIMAL)


# Cells and trials


def test_sets_are_expanded_in_place():
    study = study_of(cells=["gru", "odyssey9", "elman"])
    assert list(study.resolve_cells()) == ["gru", *CELL_SETS["odyssey9"], "elman"]


def test_a_wrong_cell_says_so():
    with pytest.raises(CellError, match="no cell called 'lstmm'; closest: lstm"):
        study_of(cells=["lstmm"]).resolve_cells()


def test_trials_are_in_logical_order_and_every_cell_gets_the_same_draws():
    study = study_of(
        cells=["lstm", "gru", "elman"],
        tasks=["xml", "arithmetic"],
        members=3,
        space={"learning_rate": {"log_uniform": [1e-3, 1e-1]}, "hidden_size": 8},
    )
    trials = trials_of(study)
    assert [(t.index, t.task, t.spec) for t in trials] == [
        (0, "xml", "lstm"),
        (1, "xml", "gru"),
        (2, "xml", "elman"),
        (3, "arithmetic", "lstm"),
        (4, "arithmetic", "gru"),
        (5, "arithmetic", "elman"),
    ]
    for trial in trials:
        assert trial.members == trials[0].members
    rates = [m["learning_rate"] for m in trials[0].members]
    assert len(set(rates)) == 3
    assert all(1e-3 <= rate <= 1e-1 for rate in rates)
    assert len({m["seed"] for m in trials[0].members}) == 3
    assert len({t.id for t in trials}) == 6


def test_a_split_population_has_the_same_members():
    space = {"learning_rate": {"log_uniform": [1e-3, 1e-1]}}
    whole = trials_of(study_of(members=5, space=space))
    split = trials_of(study_of(members=5, population=2, space=space))
    assert [len(t.members) for t in split] == [2, 2, 2, 2, 1, 1]
    assert [t.spec for t in split] == ["lstm", "gru"] * 3
    for spec in ("lstm", "gru"):
        (together,) = (t.members for t in whole if t.spec == spec)
        assert together == tuple(m for t in split if t.spec == spec for m in t.members)
    assert [m["member"] for m in whole[0].members] == [0, 1, 2, 3, 4]


GRID = {"hidden_size": {"grid": [4, 8]}, "num_layers": {"grid": [1, 2, 3]}}


def test_every_member_of_a_grid_can_be_a_trial():
    study = study_of(members=12, population=1, space=GRID)
    trials = trials_of(study)
    assert [t.spec for t in trials[:4]] == ["lstm", "gru", "lstm", "gru"]
    found = [(t.members[0]["hidden_size"], t.members[0]["num_layers"]) for t in trials[::2]]
    assert found == 2 * [(4, 1), (4, 2), (4, 3), (8, 1), (8, 2), (8, 3)]
    assert len({t.id for t in trials}) == 24  # a combination comes again with another seed
    assert trials_of(parse_study(study.to_toml())) == trials


@pytest.mark.parametrize("members", [1, 4, 7])
def test_members_are_all_combinations_of_a_grid(members):
    with pytest.raises(ConfigError, match=f"have 6 combinations: members must be 6.*got {members}"):
        study_of(members=members, space=GRID)


def test_every_stage_of_a_search_has_all_combinations_of_a_grid():
    stages = [{"name": "screen", "tasks": ["memorization"], "draws": 6}, {"name": "long"}]
    options = {"space": GRID, "strategy": {"name": "aging"}}
    assert study_of(members=12, stages=stages, **options).search.stages[1].draws == 12
    with pytest.raises(ConfigError, match="6 combinations: draws of the stage long must be 6"):
        study_of(members=8, stages=stages, **options)


def test_more_members_or_hyperparameters_change_no_other_draw():
    space = {"learning_rate": {"log_uniform": [1e-3, 1e-1]}}
    few = trials_of(study_of(members=2, space=space))[0].members
    more = trials_of(study_of(members=4, space=space | {"init_scale": {"uniform": [0.1, 1.0]}}))
    for member, longer in zip(few, more[0].members, strict=False):
        assert member.items() <= longer.items()


def test_ids_depend_on_what_decides_the_result_and_nothing_else():
    def ids(**fields):
        return [t.id for t in trials_of(study_of(**fields))]

    base = ids()
    for same in (
        {"name": "other", "description": "words"},
        {"workers": 1, "runner": "local"},
        {"training": {"epochs": 20}},  # the default, said aloud
    ):
        assert ids(**same) == base
    assert ids(cells=["gru", "lstm"]) == base[::-1]  # the place in the study is no part of it
    for other in (
        {"seed": 2},
        {"members": 5},
        {"training": {"epochs": 21}},
        {"space": {"learning_rate": 0.5}},
        {"tasks": ["arithmetic"]},
        {"cells": ["lstm:forget_bias=1", "elman"]},
    ):
        assert not set(ids(**other)) & set(base)


# legal values where 7 is none
OTHER = {
    "start": "beginning",
    "smoothing": 0.5,
    "longer": True,
    "accumulate": 5,
    "device": "cuda",
}


def test_a_run_of_before_an_option_existed_goes_on_without_it():
    fresh = study_of(training={"epochs": 3})
    now = recorded_study(fresh.to_toml(), {"training": dataclasses.asdict(fresh.config)})
    assert [t.id for t in trials_of(now)] == [t.id for t in trials_of(fresh)]
    for name, value in EARLIER.items():
        known = {k: v for k, v in dataclasses.asdict(fresh.config).items() if k != name}
        old = recorded_study(fresh.to_toml(), {"training": known})
        assert getattr(old.config, name) == value
        ids = [t.id for t in trials_of(old)]
        changed = getattr(fresh.config, name) != value
        assert changed != bool(set(ids) & {t.id for t in trials_of(fresh)})
        # the id that such a run gave its trials, without a word of the option
        for trial in trials_of(old):
            bare = {k: v for k, v in trial.training.items() if k != name}
            assert dataclasses.replace(trial, training=bare).id == trial.id
        other = OTHER.get(name, 7)
        said = recorded_study(study_of(training={name: other}).to_toml(), {})
        assert getattr(said.config, name) == other
    # a preset that has learned a word since does not say it to a run of before
    preset = study_of(training={"preset": "karpathy"})
    bare = {k: v for k, v in dataclasses.asdict(preset.config).items() if k not in EARLIER}
    old = recorded_study(preset.to_toml(), {"training": bare}).config
    assert (old.passes, old.epochs, old.eval_warmup) == (0, 50, 0)


def test_a_preset_of_the_whole_study_is_one_of_training_and_of_space():
    for preset in PRESETS:
        whole = study_of(preset=preset)
        both = study_of(training={"preset": preset}, space={"preset": preset})
        assert whole == both
        assert parse_study(MINIMAL, settings=[f"preset={preset}"]).space["preset"] == preset
        mixed = study_of(preset=preset, training={"epochs": 3}, space={"learning_rate": 0.5})
        assert mixed.config.epochs == 3
        assert mixed.distributions["learning_rate"].values == (0.5,)
        # half of a preset takes what the other half fixes, and draws nothing
        half = study_of(training={"preset": preset})
        assert set(half.distributions) == set(fixed_by(preset))
    with pytest.raises(ConfigError, match="closest: karpathy"):
        study_of(preset="karpaty")


def test_trials_survive_the_way_to_a_worker():
    for trial in trials_of(parse_study(FULL)):
        assert Trial.from_dict(trial.to_dict()) == trial
        assert Trial.from_dict(trial.to_dict()).id == trial.id


def test_ids_are_the_same_in_every_process(tmp_path):
    (tmp_path / "study.toml").write_text(FULL)
    program = (
        "from pathlib import Path; from odyssey.studies.study import read_study\n"
        "study = read_study(Path('study.toml'))\n"
        "print(*[t.id for t in study.trials(study.resolve_cells())])"
    )
    path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *sys.path])
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert found == {" ".join(t.id for t in trials_of(parse_study(FULL))) + "\n"}


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"momentum": 1.0}, "momentum must be a number from 0 and below 1, got 1.0"),
        ({"hidden_size": {"log_uniform": [1e300, 1e301]}}, "space.hidden_size must be a whole"),
        ({"parameters": 2**62}, "space.parameters must be a whole number from 1 to 10,000,000,000"),
        ({"learning_rate": {"uniform": [0.0, 0.0]}}, "learning_rate must be a number above 0"),
    ],
)
def test_a_draw_that_no_member_can_have_is_refused(space, says):
    with pytest.raises(ConfigError, match=says):
        trials_of(study_of(space=space))


def test_a_forget_bias_needs_a_forget_gate():
    space = {"forget_bias": {"choice": [0.0, 1.0]}}
    assert len(trials_of(study_of(cells=["lstm", "lstm_peephole"], space=space))) == 2
    for cell in ("elman", "lstm:no_forget_gate"):
        with pytest.raises(ConfigError, match=f"space.forget_bias does not fit {cell}: .*'f'"):
            trials_of(study_of(cells=["lstm", cell], space=space))


def test_a_presets_forget_bias_passes_by_what_has_no_gate_f():
    study = study_of(preset="char-rnn")  # lstm and gru
    with_gate, without = trials_of(study)[:2]
    assert with_gate.spec == "lstm"
    assert all(member["forget_bias"] == 1.0 for member in with_gate.members)
    assert all("forget_bias" not in member for member in without.members)
    for name in ("seed", "learning_rate", "hidden_size"):
        assert [m[name] for m in with_gate.members] == [m[name] for m in without.members]
    with pytest.raises(ConfigError, match=r"space\.forget_bias does not fit gru"):
        trials_of(study_of(preset="char-rnn", space={"forget_bias": 1.0}))
    search = {"strategy": {"name": "aging"}, "cells": ["gru"], "tasks": ["xml"]}
    assert "forget_bias" not in study_of(preset="char-rnn", **search).distributions
    with pytest.raises(ConfigError, match="which a search does not promise"):
        study_of(space={"forget_bias": 1.0}, **search)
