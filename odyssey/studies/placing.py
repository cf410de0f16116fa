"""Where the workers of a study compute, and how much of a GPU each of them has.

A worker under Ray sees the GPU that Ray has given it and no other, so `cuda` is enough of a name
there. Ray keeps a share of a GPU free by count, not by memory: workers with a share of a quarter
are four to a GPU, and it is for the user to say so where their populations fit.
"""

from __future__ import annotations

from odyssey.device_names import CPU
from odyssey.errors import ConfigError
from odyssey.studies.runners.registry import RUNNERS
from odyssey.studies.runners.shares import even_share, workers_on
from odyssey.studies.study import Study

CUDA = "cuda"


def require_device(study: Study) -> None:
    """Raises `ConfigError` where the device of a study is not on this machine."""
    if study.config.device != CPU:
        from odyssey.training.devices import find_device

        find_device(study.config.device)


def gpus_of_worker(study: Study, *, runner: str, workers: int, address: str | None) -> float:
    """Gives how many GPUs each worker has, a whole number or a share of one.

    Args:
        study: The study; where it says nothing, the GPUs of this machine are divided evenly.
        runner: Who works the trials.
        workers: How many at a time.
        address: A Ray cluster, whose GPUs are counted when it is joined.

    Raises:
        ConfigError: The device is not there, or GPUs are too few for the workers.
    """
    device, share = study.config.device, float(study.gpus_per_worker)
    if address is None:
        require_device(study)
    if not RUNNERS[runner].parallel:
        if share:
            raise ConfigError(
                f"the {runner} runner has one worker, which has the device: leave gpus_per_worker"
                " out, or use the ray runner"
            )
        return 0.0
    if not device.startswith(CUDA):
        return 0.0
    if device != CUDA:
        raise ConfigError(
            f"training.device = {device}: Ray gives every worker its GPU: write cuda, or use the"
            " local runner"
        )
    if address is not None:
        if not share:
            raise ConfigError("gpus_per_worker: say how many GPUs of the cluster a worker has")
        return share
    from odyssey.training.devices import devices_here

    there = sum(name.startswith(CUDA) for name in devices_here())
    share = share or even_share(there, workers)
    if workers > (room := workers_on(there, share)):
        raise ConfigError(
            f"{workers} workers with gpus_per_worker = {share:g} are too many for {there} GPUs: at"
            f" most {room}, or smaller shares"
        )
    return share
