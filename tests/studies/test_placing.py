"""Where workers compute: shares of GPUs, what is too much for them, and what a record says."""

import dataclasses

import pytest
import tomli_w

from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.storage.frames import table_of, typed_frame
from odyssey.storage.schema import ORDERS, RESULT_COLUMNS
from odyssey.studies.placing import gpus_of_worker
from odyssey.studies.runners.shares import even_share, workers_on
from odyssey.studies.study import parse_study
from odyssey.studies.work import failed_rows
from odyssey.training import devices

CUDA = {"device": "cuda"}


def study_of(**fields):
    given = {"name": "tiny", "cells": ["lstm", "gru"], "tasks": ["xml"]} | fields
    return parse_study(tomli_w.dumps(given))


@pytest.fixture
def gpus(monkeypatch):
    def give(count):
        there = ["cpu", *(f"cuda:{k}" for k in range(count))]
        monkeypatch.setattr(devices, "devices_here", lambda: there)

    return give


def placed(*, workers=2, runner="ray", address=None, training=CUDA, **fields):
    study = study_of(training=training, **fields)
    return gpus_of_worker(study, runner=runner, workers=workers, address=address)


def test_on_the_cpu_nobody_has_a_gpu():
    for runner in ("ray", "local"):
        assert placed(runner=runner, training={}) == 0
    assert placed(training={}, address="host:1") == 0


@pytest.mark.parametrize(
    ("count", "workers", "share"),
    [(1, 1, 1), (1, 2, 0.5), (1, 3, 0.3333), (2, 3, 0.5), (2, 2, 1), (4, 2, 1), (2, 5, 0.3333)],
)
def test_gpus_are_divided_evenly_and_all_workers_fit(gpus, count, workers, share):
    gpus(count)
    assert placed(workers=workers) == even_share(count, workers) == share
    assert workers_on(count, share) >= workers


@pytest.mark.parametrize(
    ("count", "share", "most"),
    [(1, 0.5, 2), (2, 0.6, 2), (2, 1, 2), (3, 2, 1), (1, 0.1, 10), (2, 0.3333, 6), (1, 2, 0)],
)
def test_more_workers_than_shares_are_refused(gpus, count, share, most):
    gpus(count)
    assert workers_on(count, share) == most
    if most:
        assert placed(workers=most, gpus_per_worker=share) == share
    with pytest.raises(ConfigError, match=f"too many for {count} GPUs: at most {most}"):
        placed(workers=most + 1, gpus_per_worker=share)


def test_a_cluster_is_asked_when_it_is_joined(gpus):
    gpus(0)
    assert placed(address="host:1", gpus_per_worker=0.25) == 0.25
    with pytest.raises(ConfigError, match="say how many GPUs of the cluster"):
        placed(address="host:1")


def test_the_local_runner_has_the_device(gpus):
    gpus(2)
    assert placed(runner="local", training={"device": "cuda:1"}) == 0
    with pytest.raises(ConfigError, match="leave gpus_per_worker out"):
        placed(runner="local", gpus_per_worker=1)
    with pytest.raises(ConfigError, match="Ray gives every worker its GPU"):
        placed(training={"device": "cuda:1"})


def test_a_device_that_is_not_there_is_refused(gpus):
    gpus(0)
    for runner in ("ray", "local"):
        with pytest.raises(ConfigError, match=r"no device .cuda. here: torch .* sees cpu"):
            placed(runner=runner)


@pytest.mark.parametrize("value", [-1, 1.5, 65, 0.00001, "a", True, float("nan")])
def test_nonsense_of_shares(value):
    with pytest.raises(ConfigError, match="gpus_per_worker must be"):
        study_of(training=CUDA, gpus_per_worker=value)


def test_a_share_goes_with_cuda_and_is_kept_in_the_study():
    for training in ({}, {"device": "mps"}):
        with pytest.raises(ConfigError, match=r"goes with training\.device = cuda"):
            study_of(training=training, gpus_per_worker=0.5)
    study = study_of(training=CUDA, gpus_per_worker=0.5)
    assert parse_study(study.to_toml()).gpus_per_worker == 0.5


def test_the_device_is_part_of_what_decides_a_result_and_the_cpu_is_left_out():
    def first(**training):
        study = study_of(training=training)
        return study.trials(study.resolve_cells())[0]

    plain, there = first(), first(device="cuda")
    assert first(device="cpu").id == plain.id != there.id
    without = {k: v for k, v in plain.training.items() if k != "device"}
    assert dataclasses.replace(plain, training=without).id == plain.id
    assert failed_rows(plain, "why", commit="")[0]["device"] == "cpu"
    assert failed_rows(there, "why", commit="")[0]["device"] == "cuda"
    assert failed_rows(first(device="cuda:1"), "why", commit="")[0]["device"] == "cuda"


def test_records_of_before_there_were_devices_are_of_the_cpu():
    study = study_of(training={})
    trial = study.trials(study.resolve_cells())[0]
    assert Member(**trial.members[0]).seed >= 0
    rows = failed_rows(trial, "why", commit="")
    old = table_of(rows, RESULT_COLUMNS).drop(["device"])
    for table in (old, table_of([r | {"device": None} for r in rows], RESULT_COLUMNS)):
        frame = typed_frame(table, RESULT_COLUMNS, order=ORDERS["results"])
        assert set(frame["device"]) == {"cpu"}
