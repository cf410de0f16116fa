"""Names of devices, what is there, and what is refused before anything is written."""

import pytest
import torch

from odyssey.device_names import DEVICES, check_device_name
from odyssey.errors import ConfigError
from odyssey.training import devices
from odyssey.training.config import TrainingConfig
from odyssey.training.devices import find_device, float64_device, full_precision, moved, widest

CUDA, MPS = torch.device("cuda"), torch.device("mps")


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(devices, "devices_here", lambda: ["cpu", "cuda:0", "cuda:1"])


def test_the_cpu_is_always_there():
    assert find_device("cpu").type == "cpu"
    assert devices.devices_here()[0] == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps"])
def test_what_is_not_there_is_refused_with_what_is(name, monkeypatch):
    monkeypatch.setattr(devices, "devices_here", lambda: ["cpu"])
    with pytest.raises(ConfigError) as caught:
        find_device(name)
    assert str(caught.value).startswith(f"no device '{name}' here: torch ")
    assert str(caught.value).endswith(" sees cpu")


def test_a_number_names_one_of_several(two_gpus):
    assert find_device("cuda") == CUDA
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="sees cpu, cuda:0, cuda:1"):
        find_device("cuda:2")
    with pytest.raises(ConfigError, match="no device 'mps'"):
        find_device("mps")


@pytest.mark.parametrize(
    "name", ["cudda", "gpu", "", "cuda:", "cuda:x", "cpu:0", "mps:1", "cuda:-1"]
)
def test_what_names_no_device(name):
    for check in (check_device_name, find_device):
        with pytest.raises(ConfigError, match="--device"):
            check(name)
    with pytest.raises(ConfigError, match=r"training\.device"):
        TrainingConfig(device=name)


def test_every_name_is_one_of_torch():
    for name in DEVICES:
        check_device_name(name)
        assert torch.device(name).type == name
        assert TrainingConfig(device=name).device == name
    assert TrainingConfig(device="cuda:1").device == "cuda:1"
    for value in (1, None, True):
        with pytest.raises(ConfigError, match="must be text"):
            check_device_name(value)


def test_what_a_device_cannot_do_is_refused():
    with pytest.raises(ConfigError, match="backend = native runs on the cpu"):
        TrainingConfig(device="cuda", backend="native")
    with pytest.raises(ConfigError, match="mps has no float64"):
        TrainingConfig(device="mps", dtype="float64")
    assert TrainingConfig(device="cuda", dtype="float64", backend="eager").backend == "eager"


def test_sums_are_taken_in_the_widest_type(monkeypatch):
    assert (widest(torch.device("cpu")), widest(CUDA), widest(MPS)) == (
        *(torch.float64,) * 2,
        torch.float32,
    )
    monkeypatch.setattr(devices, "devices_here", lambda: ["cpu", "cuda:0", "mps"])
    assert float64_device("cuda") == CUDA
    with pytest.raises(ConfigError, match="mps has no float64"):
        float64_device("mps")


def test_the_cpu_keeps_a_tensor_as_it_is():
    tensor = torch.zeros(3)
    assert moved(tensor, torch.device("cpu")) is tensor
    assert moved(tensor, torch.device("meta")).is_meta


def test_products_are_exact_for_a_while():
    parts = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [part.fp32_precision for part in parts]
    with full_precision(torch.device("cpu")):
        assert [part.fp32_precision for part in parts] == before
    with full_precision(CUDA):
        assert [part.fp32_precision for part in parts] == ["ieee", "ieee"]
    assert [part.fp32_precision for part in parts] == before
