"""What must agree between devices, and to what (docs/devices.md); a GPU is needed.

The same checks run between the two backends of the CPU, so that they are known to run.
"""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import odyssey
from odyssey.hyperparameters import Member
from odyssey.jobs.sample import SampleOptions, sample_text
from odyssey.jobs.train import TrainOptions, resume_training, train_cell
from odyssey.storage.store import RunStore
from odyssey.studies.trained import load_trained
from odyssey.tasks.registry import get_task
from odyssey.training.config import TrainingConfig
from odyssey.training.devices import devices_here, full_precision, widest
from odyssey.training.group import Group
from odyssey.training.loop import train

CONFIG = TrainingConfig(
    batch_size=8,
    unroll=20,
    updates_per_epoch=30,
    epochs=2,
    valid_characters=400,
    test_characters=400,
    optimizer="adam",
    backend="eager",
)
MEMBERS = [
    Member(0, 1, hidden_size=20, learning_rate=0.01, clip_norm=1.0),
    Member(1, 2, hidden_size=24, learning_rate=0.003, input_noise=0.1, dropout=0.2),
    Member(2, 3, hidden_size=22, learning_rate=0.01, zoneout=0.1, ema_decay=0.9),
]
PLAIN = [Member(k, k + 1, hidden_size=20 + k, learning_rate=0.01) for k in range(3)]
DROPPED = [
    m.replace(num_layers=2, dropout=0.3, recurrent_dropout=0.2, drop_connect=0.1) for m in PLAIN
]
FIRST = 3  # updates whose losses must agree in float32
CPU = "cpu"


def gpu_or_skip():
    there = devices_here()
    if len(there) == 1:
        pytest.skip(f"no GPU: torch {torch.__version__} sees {', '.join(there)}")
    return there[1]


@pytest.fixture(params=[CPU, pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """The GPU; or the CPU, whose other backend is compared then."""
    name = CPU if request.param == CPU else gpu_or_skip()
    with full_precision(torch.device(name)):
        yield name


@pytest.fixture
def gpu():
    name = gpu_or_skip()
    with full_precision(torch.device(name)):
        yield name


def there(config, device):
    backend = "auto" if device == CPU else "eager"
    return replace(config, device=device, backend=backend)


def losses(cell, task, members, config, updates):
    group = Group(odyssey.get_cell(cell), get_task(task), members, config)
    found = []
    while len(found) < updates:
        found += [nll / count for nll, count in group._ahead(1)]
    return np.array(found), group.flat.values_PN.cpu().double()


@pytest.mark.parametrize("task", ["xml", "dates"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "sru"])
def test_float64_agrees_to_rounding(device, cell, task):
    if widest(torch.device(device)) != torch.float64:
        pytest.skip(f"{device} has no float64")
    config = replace(CONFIG, dtype="float64")
    a, weights = losses(cell, task, MEMBERS, config, 10)
    b, own = losses(cell, task, MEMBERS, there(config, device), 10)
    np.testing.assert_allclose(b, a, rtol=1e-10)
    torch.testing.assert_close(own, weights, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "sru"])
def test_float32_agrees_in_the_first_updates(device, cell):
    a, _ = losses(cell, "xml", MEMBERS, CONFIG, FIRST)
    b, _ = losses(cell, "xml", MEMBERS, there(CONFIG, device), FIRST)
    np.testing.assert_allclose(b, a, rtol=1e-5)


def test_scores_agree_as_other_seeds_do(device):
    """The mean of members differs by less than three standard errors of their own spread."""
    members = [Member(k, k, hidden_size=16, learning_rate=0.01) for k in range(8)]
    found = []
    for config in (CONFIG, there(CONFIG, device)):
        results = train(odyssey.get_cell("gru"), get_task("xml"), members, config).results
        found.append(np.array([r.test_nats for r in results]))
    spread = max(np.std(scores, ddof=1) for scores in found)
    assert abs(found[0].mean() - found[1].mean()) < 3 * spread * math.sqrt(2 / len(members))


@pytest.mark.gpu
@pytest.mark.parametrize("members", [PLAIN, MEMBERS, DROPPED])
def test_replayed_updates_are_those_that_are_not(gpu, members):
    if not gpu.startswith("cuda"):
        pytest.skip(f"{gpu} has no graphs")
    groups = [
        Group(odyssey.get_cell("lstm"), get_task("xml"), members, there(CONFIG, gpu))
        for _ in range(2)
    ]
    replayed, plain = groups
    assert replayed.update.captured is not None
    plain.update.captured = None
    for group in groups:
        group._ahead(30)
    _, form = replayed.update.captured.forms.values()  # the first update has no state before it
    assert form.seen == 29
    assert form.settled
    assert torch.equal(replayed.flat.values_PN, plain.flat.values_PN)


@pytest.mark.gpu
def test_updates_wait_for_nothing(gpu):
    if not gpu.startswith("cuda"):
        pytest.skip(f"{gpu} does not say when it waits")
    group = Group(odyssey.get_cell("lstm"), get_task("xml"), MEMBERS, there(CONFIG, gpu))
    group._ahead(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            group._make(0)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_run_of_a_device_is_read_on_the_cpu_and_goes_on(device, tmp_path):
    out = str(tmp_path / "run")
    options = TrainOptions(
        epochs=1,
        updates_per_epoch=10,
        device=device.partition(":")[0],
        valid_characters=200,
        test_characters=200,
        sample=0,
        out=out,
    )
    trained = train_cell("gru", "xml", options)
    assert trained.row["device"] == device.partition(":")[0]
    store = RunStore.open(out)
    assert store.run["resolved"]["training.device"] == device.partition(":")[0]
    loaded = load_trained(out).model
    assert {p.device.type for p in loaded.parameters()} == {CPU}
    for name, value in trained.model.named_parameters():
        assert torch.equal(value.cpu(), loaded.get_parameter(name))
    for name in (CPU, device):
        text = sample_text(out, SampleOptions(length=20, device=name))
        assert len(list(text.generated)) == 20
    longer = resume_training(out, TrainOptions(epochs=2, sample=0))
    assert longer.row["updates"] == 20
    assert longer.row["device"] == device.partition(":")[0]
