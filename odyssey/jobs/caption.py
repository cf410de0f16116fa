"""A trained model reads pictures, or says what is on them, and shows where it looked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError, StoreError
from odyssey.jobs.choice import ModelChoice
from odyssey.options import Options
from odyssey.pace import SAID_EVERY, Course, Part, moment
from odyssey.wording import in_bits, loss_of, plural

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from odyssey.report.inside.readings import PictureReading
    from odyssey.report.page.pictures import Picture
    from odyssey.studies.trained import TrainedModel
    from odyssey.tasks.sequences import SequenceTask

_AT_A_TIME = 100  # pictures
_TIMED_STEPS, _TIMED_TARGETS = (1, 3), 500  # of a timed moment
_DRAWN = 8, 16  # pictures of the figure, with attention and without


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(Options):
    """How pictures are read, and how many are shown.

    Attributes:
        beam: Beginnings that are kept at every step; 1 takes the likeliest symbol.
        count: Test pictures on the page.
        out: The folder of the files; None for `pictures` in the run.
    """

    beam: int = 3
    count: int = 24
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beam", "count"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class PictureScores:
    """How well test pictures are read. Losses are the three of a record, in nats.

    Attributes:
        pictures: How many were read.
        exact: Share that was read wholly right, with the beam.
        words: Mean F1 of the words of what was written; NaN where there are no words.
        other_words: The same against the caption of another picture: what chance gives.
        nats: Loss of a counted target, with a sequence's own picture.
        shuffled_nats: With another one of the test data.
        blank_nats: With their mean picture.
        looks: Of `diagnostics.attention.left_to_right`; none where that cannot be said.
    """

    pictures: int
    exact: float
    words: float
    other_words: float
    nats: float
    shuffled_nats: float
    blank_nats: float
    looks: dict[str, float]


@dataclass(frozen=True)
class ReadPictures:
    """What a model made of pictures.

    Attributes:
        model: Its cell, as the run names it.
        task: The spec.
        record: What the task says of itself.
        readings: One a picture that is shown.
        scores: Over all test pictures; None where other pictures were read.
        files: Paths by what they show.
    """

    model: str
    task: str
    record: dict[str, Any]
    readings: list[PictureReading]
    scores: PictureScores | None
    files: dict[str, Path]

    def summary(self) -> list[tuple[str, str]]:
        """Gives the scores as pairs of a name and a text."""
        if self.scores is None:
            return []
        s = self.scores
        rows = [("read wholly right", f"{s.exact:.1%} of {s.pictures:,} test pictures")]
        if not math.isnan(s.words):
            chance = f"{s.other_words:.3f} against another picture's caption"
            rows.append(("F1 of words", f"{s.words:.3f}; {chance}"))
        named = ("own picture", s.nats), ("another's", s.shuffled_nats), ("mean", s.blank_nats)
        losses = ", ".join(f"{what} {in_bits(nats, self.record):.3f}" for what, nats in named)
        rows.append((f"test loss, {loss_of(self.record, short=True)}", losses))
        if s.looks:
            k = s.looks
            rows += [
                ("attention moves to the right", f"at {k['rightward']:.1%} of steps"),
                (
                    "attention follows what is read",
                    f"correlation {k['correlation']:.3f}; within step and length"
                    f" {k['within']:.3f}; {k['off']:.1f} pixels off",
                ),
            ]
        return rows


def caption_pictures(
    directory: str,
    pictures: Sequence[str] = (),
    options: CaptionOptions | None = None,
    *,
    choice: ModelChoice | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> ReadPictures:
    """Lets a model that a run has kept read pictures; writes a page and figures.

    Args:
        directory: The run.
        pictures: Files to read; none for the test pictures of the task.
        options: How.
        choice: Which model.
        progress: Hears in a line how long it takes, and still takes, now and then.

    Raises:
        OdysseyError: There is no such model, it reads no pictures, or a file is none.
    """
    from odyssey.studies.trained import load_trained
    from odyssey.tasks.sequences import SequenceTask

    options = options or CaptionOptions()
    trained = load_trained(directory, **asdict(choice or ModelChoice()))
    task = trained.task
    condition = task.signature.condition
    pictured = condition is not None and len(condition.shape) == 3 and condition.shape[2] == 1
    if not isinstance(task, SequenceTask) or not pictured or task.end is None:
        raise ConfigError(f"{task.name}: its models read no pictures; `odyssey caption` needs some")
    out = Path(options.out) if options.out else Path(directory) / "pictures"
    if pictures:
        readings = _read_files(trained, task, pictures, options)
        return _written(out, trained, task, readings, None, None)
    course = _course(trained, task, options)
    if about := course.before():
        pictures_text = plural(len(task.held_out_examples("test")), "test picture")
        progress(f"reading {pictures_text}: {about}")
    everything = _read_tests(trained, task, options, course=course, progress=progress)
    if left := course.after(0.0, "score"):
        progress(f"read all pictures, scoring{left}")
    scores, looked = _score(trained, task, everything)
    return _written(out, trained, task, everything[: options.count], scores, looked)


def _read_files(
    trained: TrainedModel, task: SequenceTask, paths: Sequence[str], options: CaptionOptions
) -> list[PictureReading]:
    import numpy as np

    given = np.stack([task.read_picture(path) for path in paths])
    names = [Path(path).name for path in paths]
    return _readings(trained, task, given, names, [None] * len(paths), options)


def _read_tests(
    trained: TrainedModel,
    task: SequenceTask,
    options: CaptionOptions,
    *,
    course: Course,
    progress: Callable[[str], None],
) -> list[PictureReading]:
    """Reads all test pictures, in the order of the task."""
    import numpy as np

    examples = task.held_out_examples("test")
    readings: list[PictureReading] = []
    for start in range(0, len(examples), _AT_A_TIME):
        part = examples[start : start + _AT_A_TIME]
        given = np.stack([e.given for e in part if e.given is not None])
        names = [f"test picture {start + k + 1}" for k in range(len(part))]
        truths = [task.decode([c for c in e.targets_T if c != task.end]) for e in part]
        readings += _readings(trained, task, given, names, truths, options)
        if left := course.after(len(readings), "read"):
            progress(f"read {len(readings):,} of {plural(len(examples), 'picture')}{left}")
    return readings


def _course(trained: TrainedModel, task: SequenceTask, options: CaptionOptions) -> Course:
    """Times the first symbols that are written of the first pictures, and a part of a scoring."""
    import numpy as np

    from odyssey.training.config import TrainingConfig
    from odyssey.training.generating import Writing, write
    from odyssey.training.scores import measure

    examples = task.held_out_examples("test")
    count = len(examples)
    if count < 2 * _AT_A_TIME:
        return Course({"read": Part(count), "score": Part(0.0)}, every=SAID_EVERY)
    given = np.stack([e.given for e in examples[:_AT_A_TIME] if e.given is not None])

    def writes(steps: int) -> float:
        how = Writing(longest=steps, beams=options.beam)
        return moment(lambda: write(trained.model, task, given, how))

    def scores() -> object:
        return measure(trained.model, task, "test", TrainingConfig(), characters=_TIMED_TARGETS)

    few, more = map(writes, _TIMED_STEPS)
    step = max(more - few, 0.0) / (_TIMED_STEPS[1] - _TIMED_STEPS[0])
    longest = max(len(e.targets_T) for e in examples)
    batch = few + step * (longest - _TIMED_STEPS[0])
    targets = min(sum(len(e.targets_T) for e in examples), task.enough["test"])
    return Course(
        {
            "read": Part(count, batch * count / _AT_A_TIME),
            "score": Part(1.0, moment(scores) * targets / _TIMED_TARGETS),
        },
        every=SAID_EVERY,
    )


def _readings(
    trained: TrainedModel,
    task: SequenceTask,
    given: NDArray[np.float32],
    names: Sequence[str],
    truths: Sequence[str | None],
    options: CaptionOptions,
) -> list[PictureReading]:
    from odyssey.report.inside.readings import END_NAME, PictureReading
    from odyssey.training.generating import Writing, write
    from odyssey.training.sizes import picture_grid

    assert task.signature.condition is not None
    grid = picture_grid(task.signature.condition)
    how = Writing(longest=2 * task.steps, beams=options.beam)
    readings = []
    for k, answer in enumerate(write(trained.model, task, given, how)):
        looks = answer.looks_TL
        readings.append(
            PictureReading(
                name=names[k],
                picture_HW=given[k, ..., 0],
                steps=(*(task.decode([c]) for c in answer.symbols), *[END_NAME] * answer.ended),
                written=task.decode(answer.symbols),
                truth=truths[k],
                nats=answer.nats,
                looks_Thw=None if looks is None else looks.reshape(len(looks), *grid),
            )
        )
    return readings


def _score(
    trained: TrainedModel, task: SequenceTask, readings: Sequence[PictureReading]
) -> tuple[PictureScores, pd.DataFrame | None]:
    """Scores what was made of all test pictures, and how far pictures matter."""
    from odyssey.diagnostics.attention import attends, left_to_right, looks
    from odyssey.training.config import TrainingConfig
    from odyssey.training.scores import measure

    found = measure(trained.model, task, "test", TrainingConfig())
    frame = looks(trained.model, task) if attends(task) else None
    if frame is not None and frame.empty:  # nobody knows where things are
        frame = None
    texts = [(r.written, r.truth or "") for r in readings]
    words = any(" " in truth for _, truth in texts)
    others = [
        (one, other) for (one, _), (_, other) in zip(texts, texts[1:] + texts[:1], strict=True)
    ]
    scores = PictureScores(
        pictures=len(readings),
        exact=sum(written == truth for written, truth in texts) / len(texts),
        words=_word_f1(texts) if words else math.nan,
        other_words=_word_f1(others) if words else math.nan,
        nats=found.nats[0],
        shuffled_nats=found.shuffled[0],
        blank_nats=found.blank[0],
        looks={} if frame is None else left_to_right(frame),
    )
    return scores, frame


def _word_f1(texts: Sequence[tuple[str, str]]) -> float:
    """Gives the mean F1 of the words of pairs of texts, counted as often as they occur."""
    total = 0.0
    for pair in texts:
        one, other = (Counter(text.split()) for text in pair)
        total += 2 * (one & other).total() / max(one.total() + other.total(), 1)
    return total / len(texts)


def _written(
    out: Path,
    trained: TrainedModel,
    task: SequenceTask,
    readings: list[PictureReading],
    scores: PictureScores | None,
    looked: pd.DataFrame | None,
) -> ReadPictures:
    """Writes figures, a table and the page."""
    import pandas as pd

    from odyssey.names import short_names
    from odyssey.report.inside.readings import plot_readings
    from odyssey.report.inside.readings_page import ReadingsPage, write_readings_page
    from odyssey.report.page.style import save_figure

    cell = str(trained.row["spec"])
    about = short_names([task.name])[task.name]
    read = ReadPictures(cell, task.name, task.describe(), readings, scores, {})
    table = pd.DataFrame(
        [(r.name, r.written, r.truth, r.verdict, r.nats) for r in readings],
        columns=["picture", "written", "truth", "verdict", "nats"],
    )
    figures: list[Picture] = [] if looked is None else [_picture_of_looks(looked, about)]
    notes = [] if scores is None else [_about_losses(scores)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for picture in figures:
            read.files[picture.name] = picture.save(out)["png"]
        drawn = plot_readings(readings[: _DRAWN[readings[0].looks_Thw is None]])
        read.files["readings"] = save_figure(drawn, out / "readings", data=table)["png"]
        content = ReadingsPage(
            title=f"{cell} reading {about}",
            lead=f"{plural(len(readings), 'picture')} of those it was not trained on"
            if scores
            else plural(len(readings), "picture"),
            facts=read.summary(),
            notes=notes,
            pictures=figures,
            readings=readings,
        )
        read.files["page"] = write_readings_page(content, out / "pictures.html")
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error
    return read


def _about_losses(scores: PictureScores) -> str:
    text = (
        "The test loss is given with a sequence's own picture, with that of another sequence of the"
        " test data, and with their mean picture: a model that ignores pictures has the same with"
        " all three."
    )
    if scores.looks:
        text += (
            " Where the model looks is the mean column of its attention while it reads the true"
            " symbols. Attention that moves to the right with every step, and so correlates with"
            " the columns of what is read, may be but a clock; the correlation within step and"
            " length compares looks at the same step of sequences of the same length, where a clock"
            " has 0."
        )
    return text


def _picture_of_looks(frame: pd.DataFrame, task: str) -> Picture:
    from odyssey.report.inside.readings import plot_looks
    from odyssey.report.page.pictures import Picture

    return Picture(
        "attention",
        task,
        "Attention moves from left to right",
        "Left: a point is a step of a test picture, 300 of each step at most; on the line both"
        " columns are the same. Right: the longest sequences, median and middle 80 %. The model"
        " reads the true symbols.",
        plot_looks(frame),
        frame,
    )
