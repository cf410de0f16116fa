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


def test_a_factorial_has_all_combinations():
    options = AblationOptions(tasks=("xml",), factorial=("i", "no_bias"))
    study = ablation_study("lstm", options)
    assert study.cells == (
        "lstm",
        "lstm:drop_gate=i",
        "lstm:no_bias",
        "lstm:drop_gate=i+no_bias",
    )
    assert study.factorial == ("drop_gate=i", "no_bias")
    assert parse_study(study.to_toml()) == study
    assert ablation_study("lstm:NFG", options).cells[3] == "lstm:NFG+drop_gate=i+no_bias"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("i",), "2 to 6 different changes"),
        (("i", "i"), "2 to 6 different changes"),
        (("no_input_gate", "coupled_gates"), "no factorial of these changes"),
        (("no_forget_gate", "forget_bias=1"), "no factorial of these changes"),
    ],
)
def test_changes_that_exclude_each_other_are_no_factorial(changes, words):
    with pytest.raises(ConfigError, match=words):
        ablation_study("lstm", AblationOptions(tasks=("xml",), factorial=changes))


def test_a_factorial_is_checked_as_a_field_of_a_study():
    text = 'name = "a"\ncells = ["lstm", "lstm:NIG"]\ntasks = ["xml"]\nfactorial = ["NIG", "NOG"]\n'
    with pytest.raises(ConfigError, match="name a baseline"):
        parse_study(text)
    with pytest.raises(ConfigError, match=r"all 4 combinations.*lstm:NOG' is missing"):
        parse_study(text + 'baseline = "lstm"\n')
    with pytest.raises(ConfigError, match="variants or a set of cells, not both"):
        ablation_study("lstm", AblationOptions(factorial=("i", "f"), variants=("NIG",)))


def test_a_margin_needs_a_baseline_and_a_number():
    text = 'name = "a"\ncells = ["lstm", "lstm:NIG"]\ntasks = ["xml"]\n'
    for margin, baseline in (("-1", "lstm"), ("inf", "lstm"), ("true", "lstm"), ("0.05", "")):
        with pytest.raises(ConfigError, match="margin"):
            parse_study(f'{text}baseline = "{baseline}"\nmargin = {margin}\n')
    study = ablation_study("lstm", AblationOptions(tasks=("xml",), variants=("NIG",), margin=0.05))
    assert study.margin == 0.05
