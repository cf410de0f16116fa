"""The runners, by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import cast

from odyssey.studies.runners.contract import Runner


@dataclass(frozen=True)
class RunnerRow:
    """One runner.

    Attributes:
        module: Where its `run_trials` is.
        parallel: Whether it has processes of its own, so that workers and a cluster mean something.
    """

    module: str
    parallel: bool


RUNNERS = {
    "ray": RunnerRow("odyssey.studies.runners.ray", parallel=True),
    "local": RunnerRow("odyssey.studies.runners.local", parallel=False),
}


def load_runner(name: str) -> Runner:
    """Imports a runner."""
    return cast(Runner, importlib.import_module(RUNNERS[name].module).run_trials)
