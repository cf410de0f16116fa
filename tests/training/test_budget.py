"""Passes over a text in updates; when a rate decays; what cannot be trained on."""

import dataclasses

import pytest

from odyssey.errors import TaskError
from odyssey.hyperparameters import Member
from odyssey.specs import get_cell
from odyssey.tasks import get_task
from odyssey.training.budget import check_training, in_updates
from odyssey.training.config import TrainingConfig, training_config
from odyssey.training.loop import train


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("abcdefghij" * 40)
    return get_task(f"text:{path}@split=75/25/0")  # 300 symbols


SMALL = {"batch_size": 2, "unroll": 10, "valid_characters": 50}


def test_passes_are_epochs_of_as_many_updates_as_a_text_has(task):
    config = TrainingConfig(passes=3, **SMALL)
    counted = in_updates(config, task)
    assert (counted.passes, counted.epochs, counted.updates_per_epoch) == (0, 3, 15)
    ordered = in_updates(dataclasses.replace(config, start="beginning"), task)
    assert (ordered.epochs, ordered.updates_per_epoch) == (3, 14)  # (150 - 2) // 10
    assert in_updates(counted, task) == counted
    (result,) = train(get_cell("elman"), task, [Member(0, 1, hidden_size=4)], config).results
    assert (result.updates, result.characters) == (45, 900)


def test_what_is_generated_has_no_passes_and_no_beginning():
    xml = get_task("xml")
    check_training(TrainingConfig(), xml)
    with pytest.raises(TaskError, match="has no passes; give epochs"):
        check_training(TrainingConfig(passes=1), xml)
    with pytest.raises(TaskError, match="leave out start=beginning"):
        check_training(TrainingConfig(start="beginning"), xml)


@pytest.mark.parametrize(
    ("after", "every", "decays"), [(4, 5, {4, 9}), (10, 1, {10, 11, 12}), (0, 3, {3, 6, 9, 12})]
)
def test_the_rate_decays_every_so_many_epochs(task, after, every, decays):
    config = training_config(
        {
            **SMALL, "updates_per_epoch": 1, "epochs": 13, "schedule": "decay", "decay": 0.5,
            "decay_after": after, "decay_every": every,
        }
    )  # fmt: skip
    member = Member(0, 1, hidden_size=4, learning_rate=1.0)
    (result,) = train(get_cell("elman"), task, [member], config).results
    rates = [value for _, _, name, value in result.curve if name == "learning_rate"]
    # the rate of an epoch is written down before it decays at the epoch's end
    fell = {epoch for epoch in range(1, 13) if rates[epoch] == 0.5 * rates[epoch - 1]}
    assert fell == decays
    assert len(set(rates)) == len(decays) + 1


def test_a_text_in_order_does_not_depend_on_the_seed(task):
    config = training_config({**SMALL, "start": "beginning", "epochs": 1})
    member = Member(0, 1, hidden_size=4, learning_rate=1e-9)
    one, two = train(get_cell("elman"), task, [member, member], config).results
    assert one.train_nats == two.train_nats
