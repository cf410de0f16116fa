"""`benchmarks/devices.py` runs on the CPU, in small, and refuses a device that is not there."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from odyssey.training import devices as known

ROOT = Path(__file__).parents[1]


@pytest.fixture
def devices():
    spec = importlib.util.spec_from_file_location("devices", ROOT / "benchmarks/devices.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["devices"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["devices"]


def test_it_prints_a_table_of_populations(devices, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["devices.py", "--device", "cpu", "--quick"])
    devices.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("cpu, torch ")
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
    assert [int(row[0]) for row in rows] == list(devices.QUICK.populations)
    for members, population, captured, one_by_one, ratio in rows:
        assert captured == "-"
        assert float(population) > 0
        assert float(ratio) == pytest.approx(float(one_by_one) / float(population), rel=0.1), (
            members
        )
    rate = float(re.search(r"(\d+) models a minute", lines[-1])[1])
    time_span = re.search(r"5,400 in (\d+ s|\d+ min \d\d s|\d+ h \d\d min)$", lines[-1])
    assert time_span
    assert time_span[1] != "0 s"
    assert rate > 0
    assert devices.POPULATIONS == (1, 16, 132)


def test_a_device_that_is_not_there_is_one_line(devices, monkeypatch):
    monkeypatch.setattr(known, "devices_here", lambda: ["cpu"])
    monkeypatch.setattr(sys, "argv", ["devices.py"])
    with pytest.raises(SystemExit, match="error: no device 'cuda' here: torch"):
        devices.main()
