"""What the units and gates of a trained model do while it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.device_names import CPU
from odyssey.errors import ConfigError, StoreError, TaskError
from odyssey.jobs.choice import ModelChoice
from odyssey.names import printable, short_names
from odyssey.options import Options
from odyssey.pace import SAID_EVERY, Course, Part, moment
from odyssey.report.page.shows import shows
from odyssey.tasks.reading import AUTO, read_symbols
from odyssey.tasks.text import MissingText, TextTask, read_file
from odyssey.tasks.vocabulary import Vocabulary
from odyssey.wording import plural

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from odyssey.diagnostics.recording import Recording
    from odyssey.studies.trained import TrainedModel
    from odyssey.tasks.base import Task

_CHUNK = 1000  # steps of a batch of held-out text
# A moment that is timed: so many symbols, and so many units.
_READ, _SCORED = 2000, (1, 5)
_WORTH_TIMING = 10  # times as much there is to do, at least


@dataclass(frozen=True, kw_only=True)
class UnitOptions(Options):
    """What a model reads, and what of it is written.

    Attributes:
        characters: Symbols to read.
        page_characters: Symbols on the page; 0 writes none.
        probes: A Python file with more probes.
        shifts: Shifts of the null.
        lstmvis: The folder of an export for LSTMVis; None for none.
        seed: Seed of the shifts.
        out: The folder of the files; None for `units` in the run.
        device: Where the model reads.
    """

    characters: int = 50_000
    page_characters: int = 20_000
    probes: str | None = None
    shifts: int = 999
    lstmvis: str | None = None
    seed: int = 1
    out: str | None = None
    device: str = CPU

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("characters", 1), ("page_characters", 0), ("shifts", 1)):
            if getattr(self, name) < least:
                shown = name.replace("_", "-")
                raise ConfigError(f"--{shown} must be at least {least}, got {getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError(f"--seed must not be negative, got {self.seed}")


@dataclass(frozen=True)
class UnitReading:
    """What a model did with a text.

    Attributes:
        codes: What it read, class indices (T,).
        text: The characters, T strings; empty for all bytes of a character but its first.
        recording: All its values.
        probes: Name -> what holds after each symbol, (T,).
        scores: Of `score_units`.
    """

    codes: NDArray[np.int64]
    text: list[str]
    recording: Recording
    probes: dict[str, NDArray[np.generic]]
    scores: pd.DataFrame


@dataclass(frozen=True, repr=False)
class UnitStudy:
    """What the units of a model follow.

    Attributes:
        reading: What the model did with the text.
        best: The best unit of every probe.
        absent: Probes that the text does not vary in.
        files: Paths by what they show.
    """

    reading: UnitReading
    best: pd.DataFrame
    absent: list[str]
    files: dict[str, Path]

    @property
    def table(self) -> pd.DataFrame:
        """The best unit of every probe, a row each."""
        return self.best

    def figure(self) -> Figure:
        """Draws how well the best units follow the probes."""
        from odyssey.report.inside.unit_plots import plot_probes
        from odyssey.report.page.style import figure_of

        return figure_of(plot_probes(self.best.assign(label=self.best["name"])))

    def __repr__(self) -> str:
        found = self.best[self.best["units"] > 0]["probe"]
        recording = self.reading.recording
        return (
            f"<UnitStudy of {printable(recording.name)}: {len(self.reading.codes):,} symbols,"
            f" {recording.num_units} units; found: {', '.join(map(str, found)) or 'none'}>"
        )

    @shows
    def _repr_html_(self) -> str:
        from odyssey.report.page.html import frame_html
        from odyssey.report.page.shown import figure_html, fragment

        shown = self.best[["probe", "layer", "track", "unit", "rho", "p", "symbol_rho", "units"]]
        recording = self.reading.recording
        absent = [f"not scored, for the text does not vary in them: {', '.join(self.absent)}"]
        return fragment(
            f"What the units of {recording.name} follow",
            lead=f"{len(self.reading.codes):,} symbols, {recording.num_units} units",
            blocks=[
                frame_html(shown, lambda v: v if isinstance(v, str) else f"{v:.3g}"),
                figure_html(self.figure(), "Probes and the units that follow them"),
            ],
            notes=[*(absent if self.absent else []), *(f"{n}: {p}" for n, p in self.files.items())],
        )


def study_units(
    directory: str,
    options: UnitOptions | None = None,
    *,
    choice: ModelChoice | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> UnitStudy:
    """Lets a model that a run has kept read, scores its units, writes tables, figures and a page.

    Args:
        directory: The run.
        options: What is read and written.
        choice: Which model. Its `text` is a file to read instead of the test data of the task; or
            the run's own text, wherever that lies now: then it reads the test data.
        progress: Hears in a line how long it still takes, now and then.

    Raises:
        OdysseyError: There is no such model, or see `read_units`.
    """
    from odyssey.diagnostics.unit_scores import best_units
    from odyssey.training.devices import find_device

    options = options or UnitOptions()
    device = find_device(options.device)
    trained, text = _trained(directory, choice or ModelChoice())
    trained.model.to(device)
    reading = read_units(
        trained,
        text=text,
        characters=options.characters,
        probes=options.probes,
        shifts=options.shifts,
        seed=options.seed,
        progress=progress,
    )
    best = best_units(reading.scores)
    absent = [name for name in reading.probes if name not in set(best["probe"])]
    source = choice.text if choice else None
    out = Path(options.out) if options.out else Path(directory) / "units"
    return UnitStudy(reading, best, absent, _write(options, out, source, trained.task, reading))


def _trained(directory: str, choice: ModelChoice) -> tuple[TrainedModel, str | None]:
    """Gives the model, and the file that it is to read; none for the test data of its task."""
    from odyssey.studies.trained import load_trained

    trained = load_trained(directory, **asdict(replace(choice, text=None)))
    trained.task.require_stream("`odyssey units`")
    if choice.text is None:
        return trained, None
    digest = hashlib.sha256(read_file(Path(choice.text))).hexdigest()
    if digest != trained.task.describe().get("sha256"):
        return trained, choice.text
    return load_trained(directory, **asdict(choice)), None


def read_units(
    trained: TrainedModel,
    *,
    text: str | None = None,
    characters: int = 50_000,
    probes: str | None = None,
    shifts: int = 999,
    seed: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> UnitReading:
    """Lets a trained model read, and scores its units.

    Args:
        trained: The model and its task.
        text: A file; None for the test split of the task.
        characters: How many symbols at most.
        probes: A Python file with more probes.
        shifts: Shifts of the null.
        seed: Their seed.
        progress: Hears in a line how long it still takes, now and then.

    Raises:
        TaskError: The file cannot be read, or holds a symbol that the task lacks.
        CellError: The cell has no recurrence.
        ConfigError: The text is too short, or a probe makes no sense.
    """
    from odyssey.diagnostics.probes import PROBES, load_probes, probe_values
    from odyssey.diagnostics.recording import record_model
    from odyssey.diagnostics.unit_scores import score_units
    from odyssey.training.seeds import stream

    chosen = PROBES | (load_probes(probes) if probes else {})
    if trained.task.unit == "words":
        raise TaskError(f"{trained.task.name} is read by words: probes mark characters")
    codes = _symbols(trained.task, text, characters)
    pieces = _pieces(trained.task, codes)
    sizes = [size for _, size in pieces]
    values = _by_symbol(probe_values("".join(c for c, _ in pieces), chosen), sizes)
    course = _course(trained, codes, values, shifts=shifts)
    if about := course.before():
        progress(f"reading {len(codes):,} symbols, then scoring units: {about}")
    recording = record_model(trained.model, codes)

    def tell(units: int) -> None:
        if left := course.after(units / recording.num_units, "score"):
            progress(f"scored {units:,} of {plural(recording.num_units, 'unit')}{left}")

    tell(0)
    rng = stream(seed, "units")
    scores = score_units(recording, codes, values, shifts=shifts, rng=rng, progress=tell)
    text_T = [s for c, size in pieces for s in (c, *[""] * (size - 1))]
    return UnitReading(codes, text_T, recording, values, scores)


def _course(
    trained: TrainedModel,
    codes: NDArray[np.int64],
    values: Mapping[str, NDArray[np.generic]],
    *,
    shifts: int,
) -> Course:
    """Times the reading of the first symbols, and the scoring of few units over as many as all."""
    import numpy as np

    from odyssey.diagnostics.recording import Recording, record_model
    from odyssey.diagnostics.unit_scores import score_units

    if len(codes) < _WORTH_TIMING * _READ:
        return Course({"read": Part(0.0), "score": Part(1.0)}, every=SAID_EVERY)
    first = record_model(trained.model, codes[:_READ])
    reads = moment(lambda: record_model(trained.model, codes[:_READ])) * len(codes) / _READ
    track = first.tracks[0]

    def scores(units: int) -> float:
        values_TH = np.resize(track.values_TH[:, :units], (len(codes), units))
        part = Recording(first.name, (replace(track, values_TH=values_TH),))
        rng = np.random.default_rng(0)
        return moment(lambda: score_units(part, codes, values, shifts=shifts, rng=rng))

    few, more = map(scores, _SCORED)
    unit = max(more - few, 0.0) / (_SCORED[1] - _SCORED[0])
    return Course(
        {"read": Part(1.0, reads), "score": Part(1.0, few + unit * first.num_units)},
        every=SAID_EVERY,
    )


def _symbols(task: Task, path: str | None, most: int) -> NDArray[np.int64]:
    """Gives the text as class indices: that of a file, or the task's test split."""
    import numpy as np

    if path is None:
        batches = task.held_out("test", batch_size=1, unroll=_CHUNK, characters=most)
        return np.concatenate([b.inputs_TB[b.weights_TB[:, 0], 0] for b in batches])[:most]
    data = read_file(Path(path))
    if not isinstance(task, TextTask | MissingText):
        return task.encode(data.decode("utf-8", "backslashreplace")[:most])[:most]
    try:
        symbols = read_symbols(path, data, unit=task.unit)
    except TaskError:  # it is not UTF-8, and may be as the model's own text was
        own = str(task.describe().get("encoding") or AUTO)
        symbols = read_symbols(path, data, unit=task.unit, encoding=own)
    assert isinstance(task.vocabulary, Vocabulary)  # of words nothing has come so far
    return task.vocabulary.classes(symbols.codes_N[:most].tolist())


def _pieces(task: Task, codes: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Cuts what was read into characters, with the number of symbols that each takes."""
    if isinstance(task, TextTask | MissingText):
        return task.vocabulary.pieces(codes)
    return [(task.symbols[k], 1) for k in codes.tolist()]


def _by_symbol(
    values: Mapping[str, NDArray[np.generic]], sizes: list[int]
) -> dict[str, NDArray[np.generic]]:
    """Gives the values of probes at every symbol instead of every character.

    A character has been read with its last byte; at those before, what was so still is.
    """
    import numpy as np

    size_N = np.array(sizes)
    at_T = np.repeat(np.arange(len(sizes)), size_N)
    at_T -= np.arange(len(at_T)) != np.repeat(np.cumsum(size_N) - 1, size_N)
    # before the first character nothing is known: take what it says itself
    return {name: value[np.maximum(at_T, 0)] for name, value in values.items()}


def _write(
    options: UnitOptions, out: Path, source: str | None, task: Task, reading: UnitReading
) -> dict[str, Path]:
    from odyssey.diagnostics.recording import saturation
    from odyssey.report.inside.lstmvis import write_lstmvis
    from odyssey.report.inside.unit_plots import plot_saturation
    from odyssey.report.inside.units_page import UnitTrack, write_units_page
    from odyssey.report.page.style import save_figure

    recording, codes, gates = reading.recording, reading.codes, saturation(reading.recording)
    files = {"scores": out / "scores.csv"}
    tracks = [UnitTrack(t.layer, t.name, t.kind, t.values_TH) for t in recording.tracks]
    read = Path(source).name if source else short_names([task.name])[task.name]
    about = f"{recording.name} reading {read}"
    if options.lstmvis:
        files["lstmvis"] = write_lstmvis(
            options.lstmvis,
            name=about,
            description=f"{len(codes):,} symbols",
            symbols=reading.text,
            tracks=tracks,
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        reading.scores.to_csv(files["scores"], index=False, lineterminator="\n")
        if not gates.empty:
            saved = save_figure(plot_saturation(gates), out / "saturation", data=gates)
            files["saturation"] = saved["png"]
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error
    shown = min(options.page_characters, len(codes))
    if shown:
        files["page"] = write_units_page(
            out / "units.html",
            title=about,
            lead=f"the first {shown:,} of {len(codes):,} symbols",
            symbols=reading.text[:shown],
            tracks=[UnitTrack(t.layer, t.name, t.kind, t.values_TH[:shown]) for t in tracks],
            probes={name: v[:shown] for name, v in reading.probes.items()},
            scores=reading.scores,
        )
    return files
