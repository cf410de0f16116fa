"""What trained models get wrong on held-out text, and why."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from odyssey.errors import ConfigError
from odyssey.jobs.choice import ModelChoice, chosen_models
from odyssey.options import Options
from odyssey.pace import SAID_EVERY, Course, Part, moment
from odyssey.wording import plural

if TYPE_CHECKING:
    import pandas as pd

    from odyssey.diagnostics.mistakes import Oracles
    from odyssey.studies.trained import TrainedModel
    from odyssey.tasks.text import TextTask

MOST_MODELS = 24
_COUNTED, _READ = 20_000, 1000  # symbols of a timed moment: of training data, and of held-out data


@dataclass(frozen=True, kw_only=True)
class MistakeOptions(Options):
    """What is read.

    Attributes:
        split: Which data.
        characters: How many, at most.
        out: The folder of the files.
    """

    split: Literal["valid", "test"] = "test"
    characters: int = 100_000
    out: str = "results/runs/errors"


@dataclass(frozen=True)
class SortedMistakes:
    """The errors of models of one task.

    Attributes:
        task: The task.
        unit: What its losses are counted by.
        read: How many symbols were predicted.
        errors: Of `count_errors`, with the label of every model and how many symbols it predicted.
        brackets: Of `loss_by_distance`, with labels; those of the n-gram are the last.
        files: Paths by what they show.
    """

    task: str
    unit: str
    read: int
    errors: pd.DataFrame
    brackets: pd.DataFrame
    files: dict[str, Path]

    def by_model(self) -> list[tuple[str, int, float, float, dict[str, float]]]:
        """Gives of every model its label, errors, their share of symbols, nats, and categories.

        The last is the share of every category in the errors.
        """
        rows = []
        for label, part in self.errors.groupby("label", sort=False):
            wrong = int(part["errors"].sum())
            shares = part.groupby("category", sort=False)["share"].sum(min_count=1)
            categories = {str(name): float(s) for name, s in shares.items() if name != "right"}
            rate = wrong / part["characters"].iloc[0]
            rows.append((str(label), wrong, rate, float(part["nats"].sum()), categories))
        return rows


def sort_mistakes(
    directories: Sequence[str],
    options: MistakeOptions | None = None,
    *,
    choice: ModelChoice | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> SortedMistakes:
    """Sorts the errors of the models that runs have kept by category; writes tables and figures.

    Args:
        directories: The runs.
        options: What is read, and where the files go.
        choice: Which of their models.
        progress: Hears in a line how long it still takes, now and then.

    Raises:
        OdysseyError: There are no such models, they have learned several tasks or too many cells,
            or their task is no text.
    """
    options, choice = options or MistakeOptions(), choice or ModelChoice()
    if options.characters < 1:
        raise ConfigError(f"--characters must be at least 1, got {options.characters}")
    import pandas as pd

    from odyssey.diagnostics import mistakes
    from odyssey.diagnostics.predictions import predict
    from odyssey.report.inside.error_plots import write_errors

    oracles = mistakes.Oracles()
    baseline = f"{oracles.contexts}-gram"
    categories: list[pd.DataFrame] = []
    brackets = []
    directories = list(dict.fromkeys(directories))
    chosen = chosen_models(directories, choice, by_run=len(directories) > 1)
    models = [*itertools.islice(chosen, MOST_MODELS + 1)]
    if len(models) > MOST_MODELS:
        raise ConfigError(f"more than {MOST_MODELS} models; choose some with --cell")
    first = models[0][2]
    task = str(first.row["task"])
    for directory, _, trained in models:
        trained.task.require_stream("`odyssey errors`")
        if (name := str(trained.row["task"])) != task:
            raise ConfigError(
                f"{directory} has learned {name}, the first model {task};"
                " compare models of one task"
            )
    asked: dict[str, Any] = {"characters": options.characters, "split": options.split}
    text = mistakes.require_characters(first.task)
    course = _course(text, [trained for _, _, trained in models], oracles, options)
    if about := course.before():
        progress(f"{plural(len(models), 'model')}, up to {options.characters:,} symbols: {about}")
    reading = mistakes.annotate_text(first.task, oracles=oracles, **asked)
    symbols = len(reading.text) - 1

    def tell(label: str, read: int) -> None:
        if left := course.after(len(categories) + min(read / symbols, 1.0), "read"):
            progress(f"{label}: model {len(categories) + 1} of {len(models)}{left}")

    for _, label, trained in models:
        told = partial(tell, label)
        predicted = predict(trained.model, trained.task, progress=told, **asked)
        counted = mistakes.count_errors(mistakes.sort_errors(predicted, reading, oracles=oracles))
        categories.append(counted.assign(label=label, characters=len(predicted)))
        losses = mistakes.bracket_losses(predicted, reading.text)
        brackets.append(mistakes.loss_by_distance(losses).assign(label=label))
    losses = mistakes.bracket_losses(mistakes.ngram_predictions(reading), reading.text)
    brackets.append(mistakes.loss_by_distance(losses).assign(label=baseline))
    errors = pd.concat(categories, ignore_index=True)
    by_distance = pd.concat(brackets, ignore_index=True)
    files = write_errors(errors, by_distance, options.out, baseline=baseline)
    return SortedMistakes(task, first.task.unit, symbols, errors, by_distance, files)


def _course(
    task: TextTask, models: Sequence[TrainedModel], oracles: Oracles, options: MistakeOptions
) -> Course:
    """Times the counting of some n-grams, and the reading of some symbols by the first model."""
    from odyssey.diagnostics.predictions import predict
    from odyssey.tasks.ngrams import ngram_probabilities

    steps = float(len(models))
    train_N, held_M = task.indices("train"), task.indices(options.split)
    asked = min(options.characters, len(held_M) - 1)
    if len(train_N) + asked < 10 * _COUNTED or asked < 10 * _READ:
        return Course({"read": Part(steps)}, every=SAID_EVERY)  # no time to tell of the counting
    counts = moment(
        lambda: ngram_probabilities(
            train_N[:_COUNTED],
            held_M[:_READ],
            longest=oracles.contexts,
            num_symbols=task.num_symbols,
        )
    )
    reads = moment(lambda: predict(models[0].model, task, characters=_READ, split=options.split))
    return Course(
        {
            "count": Part(1.0, counts * (len(train_N) + asked) / (_COUNTED + _READ)),
            "read": Part(steps, steps * reads * asked / _READ),
        },
        every=SAID_EVERY,
    )
