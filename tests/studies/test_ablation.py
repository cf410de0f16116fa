"""The study behind `odyssey ablate`."""

from __future__ import annotations

import pytest

from odyssey.errors import CellError, ConfigError
from odyssey.specs import CELL_SETS
from odyssey.studies.make.ablation import AblationOptions, ablation_cells, ablation_study
from odyssey.studies.study import parse_study
from odyssey.tasks.sets import TASK_SETS


def test_variants_are_ablations_or_whole_specs():
    cells = ablation_cells("lstm", variants=["NIG", "forget_bias=2", "gru", "gru:no_bias"])
    assert cells == ["lstm", "lstm:NIG", "lstm:forget_bias=2", "gru", "gru:no_bias"]
    assert ablation_cells("lstm:NIG", variants=["NFG"]) == ["lstm:NIG", "lstm:NIG+NFG"]
    assert ablation_cells("lstm", variants=["activation=g:relu"])[1] == "lstm:activation=g:relu"


def test_a_papers_set_has_the_baseline_in_front():
    odyssey9 = list(CELL_SETS["odyssey9"])
    assert ablation_cells("lstm_peephole", cell_set="odyssey9") == odyssey9
    assert ablation_cells("gru", cell_set="odyssey9") == ["gru", *odyssey9]


def test_without_either_every_single_change_is_there():
    cells = ablation_cells("elman")
    assert cells == ["elman", "elman:no_output_activation", "elman:no_bias"]


def test_all_cells_share_draws_and_budget():
    study = ablation_study("lstm", AblationOptions(tasks=("xml",), draws=3, variants=("NIG",)))
    assert (study.baseline, study.members) == ("lstm", 3)
    trials = study.trials(study.resolve_cells())
    assert len(trials) == 2
    assert trials[0].members == trials[1].members
    assert trials[0].training == trials[1].training
    assert all("hidden_size" in member for member in trials[0].members)
    assert parse_study(study.to_toml()) == study


def test_matching_parameters_draws_their_number():
    options = AblationOptions(tasks=("xml",), variants=("NIG",), match="parameters")
    study = ablation_study("lstm", options)
    (trial, _) = study.trials(study.resolve_cells())
    assert all("parameters" in m and "hidden_size" not in m for m in trial.members)


def test_a_set_of_tasks_stands_for_its_members(corpora):
    study = ablation_study("elman", AblationOptions(tasks=("unseen10",)))
    assert study.tasks == TASK_SETS["unseen10"]


def test_settings_override_any_field():
    settings = ("epochs=2", "space.hidden_size=8", "workers=1")
    study = ablation_study("elman", AblationOptions(tasks=("xml",), settings=settings))
    assert (study.config.epochs, study.space["hidden_size"], study.workers) == (2, 8, 1)


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="not both"):
        ablation_cells("lstm", variants=["NIG"], cell_set="odyssey9")
    with pytest.raises(ConfigError, match="closest: odyssey9"):
        ablation_cells("lstm", cell_set="odyssey")
    with pytest.raises(CellError, match="no peephole"):
        ablation_cells("lstm", variants=["no_peepholes"])
    with pytest.raises(ConfigError, match="way to match"):
        ablation_study("lstm", AblationOptions(tasks=("xml",), match="parameter"))
    text = 'name = "x"\ncells = ["lstm"]\ntasks = ["xml"]\nbaseline = "gru"\n'
    with pytest.raises(ConfigError, match="no baseline among the cells called 'gru'"):
        parse_study(text)
