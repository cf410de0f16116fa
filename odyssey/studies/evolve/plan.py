"""What a study says about its search: strategy, constraints and stages, checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from odyssey.errors import ConfigError, suggest
from odyssey.storage.schema import RANDOM_ARM
from odyssey.strategies.promotion import Rule
from odyssey.strategies.registry import STRATEGIES, check_options, strategy_options
from odyssey.training.config import TrainingConfig, training_config
from odyssey.wording import quoted

MEASURES = ("loss", "accuracy")
COSTS = ("parameters", "flops")
# Whole-number options of [strategy] -> (default, least, most).
_WHOLE = {"candidates": (100, 1, 1_000_000), "lag": (16, 1, 10_000), "attempts": (100, 1, 10_000)}
LEAST_LIMIT = 20.0
"""Below, a limit could decide about cells that do nothing but compute."""
_SHARES = {"random": 0.5, "audit": 0.1}
_TEXTS = {"baseline": "gru", "measure": "loss", "cost": "parameters"}


@dataclass(frozen=True)
class StagePlan:
    """One stage of a search.

    Attributes:
        name: Its name.
        tasks: Task specs.
        draws: Draws of hyperparameters.
        population: Members of one trial; 0 puts all in one.
        training: The training options of the stage, resolved.
        rule: When a candidate goes on.
        scored: Whether its tasks count in the score.
    """

    name: str
    tasks: tuple[str, ...]
    draws: int
    population: int
    training: Mapping[str, Any]
    rule: Rule
    scored: bool


@dataclass(frozen=True)
class SearchPlan:
    """How a study searches; docs/search.md explains the fields.

    Attributes:
        strategy: Name of the strategy.
        options: Its own options.
        candidates: Cells to evaluate, without the seeds.
        random: Share of them that the random arm proposes.
        lag: Candidate i is asked when the outcomes up to i - lag are told.
        attempts: Proposals for one candidate at most.
        audit: Share of stopped candidates that are measured to the end all the same.
        baseline: Spec of the seed that scores are relative to.
        measure: loss or accuracy.
        cost: parameters or flops.
        limit: How many times the processor time of the seeds a trial may take, for its number of
            operations, before it is taken for hanging; 0 for ever.
        weights: Weights of the mutations, by name.
        constraints: The table of constraints.
        stages: The stages, in order.
    """

    strategy: str
    options: Mapping[str, Any]
    candidates: int
    random: float
    lag: int
    attempts: int
    audit: float
    baseline: str
    measure: str
    cost: str
    limit: float
    weights: Mapping[str, float]
    constraints: Mapping[str, Any]
    stages: tuple[StagePlan, ...] = field(repr=False)

    def arm(self, place: int) -> str:
        """Names the arm of the candidate that is this many after the seeds."""
        share = self.random
        by_chance = math.floor((place + 1) * share) > math.floor(place * share)
        if self.strategy == RANDOM_ARM or by_chance:
            return RANDOM_ARM
        return self.strategy

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of the search, the strategy's first."""
        if self.strategy == RANDOM_ARM or not self.random:
            return (self.strategy,)
        return (self.strategy, RANDOM_ARM)


def search_plan(
    strategy: Mapping[str, Any],
    constraints: Mapping[str, Any],
    stages: Sequence[Mapping[str, Any]],
    *,
    tasks: Sequence[str],
    members: int,
    population: int,
    training: Mapping[str, Any],
) -> SearchPlan:
    """Reads the tables of a study.

    Args:
        strategy: The table `[strategy]`.
        constraints: The table `[constraints]`.
        stages: The tables `[[stages]]`; without any, one stage of all tasks and members.
        tasks: The study's tasks, for stages that name none.
        members: The study's draws, for stages that say none.
        population: The study's members of one trial.
        training: The study's training options, which a stage's override.

    Raises:
        ConfigError: A key or value makes no sense.
    """
    given = dict(strategy)
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"strategy.name is missing: one of {', '.join(STRATEGIES)}")
    own = strategy_options(name)
    known = [*_WHOLE, *_SHARES, *_TEXTS, "limit", "weights", *own]
    for key in given:
        if key not in known:
            raise ConfigError(suggest(key, known, what="strategy option"))
    values: dict[str, Any] = {
        key: _whole(f"strategy.{key}", given.get(key, default), least, most)
        for key, (default, least, most) in _WHOLE.items()
    }
    values |= {
        key: _number(f"strategy.{key}", given.get(key, default), 0.0, 1.0)
        for key, default in _SHARES.items()
    }
    for key, default_text in _TEXTS.items():
        values[key] = given.get(key, default_text)
    for key, allowed in (("measure", MEASURES), ("cost", COSTS)):
        if values[key] not in allowed:
            raise ConfigError(suggest(str(values[key]), allowed, what=f"strategy.{key}"))
    if not isinstance(values["baseline"], str):
        raise ConfigError(f"strategy.baseline must be a spec, got {quoted(values['baseline'])}")
    options = {key: given[key] for key in own if key in given}
    check_options(name, options)
    weights = given.get("weights", {})
    if not isinstance(weights, Mapping):
        raise ConfigError("strategy.weights must be a table of mutations and numbers")
    for mutation, weight in weights.items():
        _number(f"strategy.weights.{mutation}", weight, 0.0, 1e9)
    default_stage = {"name": "all"}
    plans = [
        _stage(
            number, stage, tasks=tasks, members=members, population=population, training=training
        )
        for number, stage in enumerate(stages or [default_stage], start=1)
    ]
    if len({p.name for p in plans}) < len(plans):
        raise ConfigError("two stages have one name")
    if not any(p.scored for p in plans):
        raise ConfigError("no stage is scored: one without at_least is needed")
    return SearchPlan(
        strategy=name,
        options=options,
        limit=_limit(given.get("limit", 100.0)),
        weights=dict(weights),
        constraints=dict(constraints),
        stages=tuple(plans),
        **values,
    )


def _stage(
    number: int,
    given: Mapping[str, Any],
    *,
    tasks: Sequence[str],
    members: int,
    population: int,
    training: Mapping[str, Any],
) -> StagePlan:
    if not isinstance(given, Mapping):
        raise ConfigError(f"stage {number} must be a table, got {quoted(given)}")
    known = ["name", "tasks", "draws", "population", "training", "at_least", "gate", "keep"]
    for key in given:
        if key not in known:
            hint = [f.name for f in dataclasses.fields(TrainingConfig)]
            also = f"; did you mean training.{key}?" if key in hint else ""
            raise ConfigError(suggest(key, known, what="stage option") + also)
    name = given.get("name", f"stage{number}")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"stage {number}: name must be text, got {quoted(name)}")
    own = given.get("training", {})
    if not isinstance(own, Mapping):
        raise ConfigError(f"stage {name}: training must be a table, got {quoted(own)}")
    config = training_config({"longer": False, **training, **own})
    chosen = given.get("tasks", tasks)
    if not isinstance(chosen, list | tuple) or not all(isinstance(t, str) for t in chosen):
        raise ConfigError(f"stage {name}: tasks must be a list of texts, got {quoted(chosen)}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError(f"stage {name}: tasks must name at least one, and none twice")
    shares = {
        key: _number(f"stage {name}: {key}", given[key], 0.0, 1e9 if key == "gate" else 1.0)
        for key in ("at_least", "gate", "keep")
        if key in given
    }
    if "at_least" in shares and len(shares) > 1:
        raise ConfigError(
            f"stage {name}: at_least is for a screen, which has no score; gate and keep need one"
        )
    return StagePlan(
        name=name,
        tasks=tuple(chosen),
        draws=_whole(f"stage {name}: draws", given.get("draws", members), 1, 100_000),
        population=_whole(
            f"stage {name}: population", given.get("population", population), 0, 100_000
        ),
        training=dataclasses.asdict(config),
        rule=Rule(**shares),
        scored="at_least" not in shares,
    )


def _limit(value: Any) -> float:
    if value != 0 or isinstance(value, bool):
        try:
            return _number("strategy.limit", value, LEAST_LIMIT, 1e9)
        except ConfigError as error:
            raise ConfigError(
                f"{error}, or 0 for no limit: how many times the processor time of the seeds a"
                " trial may take before it counts as hanging"
            ) from None
    return 0.0


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(
            f"{name} must be a whole number from {least} to {most:,}, got {quoted(value)}"
        )
    return value


def _number(name: str, value: Any, least: float, most: float) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        raise ConfigError(
            f"{name} must be a number from {least:g} to {most:g}, got {quoted(value)}"
        )
    return float(value)
