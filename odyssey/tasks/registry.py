"""The tasks by name, and the specs that address them: `NAME[@key=value,...]`, `text:PATH[@...]`.

`captions:PATH[@...]` is a folder of pictures with a table of captions.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odyssey.errors import TaskError, suggest
from odyssey.names import CAPTIONS_PREFIX, PATH_PREFIXES, TEXT_PREFIX, split_text
from odyssey.registry import Registry, of_type
from odyssey.tasks.adding import LONGEST, Adding
from odyssey.tasks.arithmetic import Arithmetic
from odyssey.tasks.base import Task
from odyssey.tasks.captions import folder_task
from odyssey.tasks.copying import Copy, Reverse, SelectiveCopy
from odyssey.tasks.counting import LETTERS, Counting
from odyssey.tasks.dates import SPELLINGS, Dates
from odyssey.tasks.digits import LEVELS, HouseNumbers
from odyssey.tasks.download import DATASETS, MUSIC_NAME, Dataset, dataset_path
from odyssey.tasks.dyck import COUNTED, OPENING, Dyck
from odyssey.tasks.frames import COUNTS, SUM, Frames
from odyssey.tasks.generated import ALPHABET
from odyssey.tasks.group import GROUPS, Group
from odyssey.tasks.icons import icons_task
from odyssey.tasks.irregular import Irregular
from odyssey.tasks.listops import ListOps
from odyssey.tasks.memorization import Memorization
from odyssey.tasks.modular import Modular
from odyssey.tasks.music import FIRST_FRAME, GIVEN, QUARTERS, Music
from odyssey.tasks.options import (
    Option,
    fraction,
    one_of,
    read_options,
    show_options,
    split,
    whole,
)
from odyssey.tasks.painting import Paint
from odyssey.tasks.python_source import python_source
from odyssey.tasks.reading import AUTO, encoding_name
from odyssey.tasks.recall import KEYS, VALUES, Induction, Recall
from odyssey.tasks.scanning import AT_ONCE, ORDERS, Digits
from odyssey.tasks.sentiment import UNITS, Sentiment
from odyssey.tasks.sets import TASK_SETS
from odyssey.tasks.signature import ATTENTION, FIRST, WAYS
from odyssey.tasks.text import KnownWords, TextTask, read_file
from odyssey.tasks.xml import Xml
from odyssey.wording import quoted, shorten


@dataclass(frozen=True)
class TaskRow:
    """Describes one task of the table below.

    Attributes:
        summary: One line about it.
        options: What may stand after the '@'.
        make: Makes the task from its normalised spec and the value of each option.
        read: Gives the bytes of a text, from the value of each option; None where there is none.
        sequences: Whether it is a `SequenceTask`, not a stream of symbols.
        longer: The option that is twice as large in the same task at twice the length.
    """

    summary: str
    options: tuple[Option, ...]
    make: Callable[[str, dict[str, Any]], Task]
    read: Callable[[dict[str, Any]], bytes] | None = None
    sequences: bool = False
    longer: str | None = None


def _text_options(split_default: str, unit: str = AUTO) -> tuple[Option, ...]:
    return (
        one_of("unit", unit, among=(AUTO, "characters", "bytes", "words")),
        Option(
            "encoding",
            AUTO,
            "the name of an encoding, as in utf-8, latin-1, cp1252 or utf-16",
            encoding_name,
        ),
        split(split_default),
        whole("stretches", 1, least=1, most=100_000),
        whole("words", KnownWords.most, least=2, most=1_000_000),
        whole("least_count", KnownWords.least_count, least=1, most=1_000_000),
    )


def _text_task(
    name: str, data: bytes, values: Mapping[str, Any], *, facts: Mapping[str, object]
) -> TextTask:
    """Makes a text task from the values of `_text_options`."""
    known = KnownWords(values["words"], values["least_count"])
    if values["unit"] != "words" and known != KnownWords():
        raise TaskError(f"{name}: words= and least_count= are about words; add unit=words")
    how = {option: values[option] for option in ("unit", "encoding", "split", "stretches")}
    return TextTask(name, data, **how, known=known, facts=facts)


def _python_source() -> TaskRow:
    def read(values: dict[str, Any]) -> bytes:
        return python_source(values["bytes"])

    def make(name: str, values: dict[str, Any]) -> Task:
        facts = {"python": platform.python_version()}
        return TextTask(name, read(values), split=values["split"], facts=facts)

    return TaskRow(
        "the source of this Python's standard library; needs no download",
        (whole("bytes", 2_000_000, least=100, most=100_000_000), split("90/5/5")),
        make,
        read,
    )


def _corpus(name: str, dataset: Dataset) -> TaskRow:
    def read(values: dict[str, Any]) -> bytes:
        return read_file(dataset_path(name))

    def make(spec: str, values: dict[str, Any]) -> Task:
        return _text_task(spec, read(values), values, facts={"licence": dataset.licence})

    return TaskRow(dataset.summary, _text_options(dataset.split, dataset.unit), make, read)


def _music(name: str, dataset: Dataset) -> TaskRow:
    def make(spec: str, values: dict[str, Any]) -> Task:
        return Music(
            spec,
            dataset_path(name),
            quarters=QUARTERS.get(name, 0.5),
            first=values["first"],
            most_steps=values["steps"],
            facts={"licence": dataset.licence, "file": dataset.digest},
        )

    options = (
        one_of("first", GIVEN, among=FIRST_FRAME),
        whole("steps", 200, least=1, most=10_000),
    )
    return TaskRow(dataset.summary, options, make, sequences=True)


_ROWS: dict[str, TaskRow] = {
    "memorization": TaskRow(
        "read 5 letters and reproduce them in order (Jozefowicz et al., 2015)",
        (
            whole("length", 5, least=1, most=1000),
            whole("symbols", 26, least=2, most=len(ALPHABET)),
        ),
        lambda name, values: Memorization(name, **values),
        longer="length",
    ),
    "arithmetic": TaskRow(
        "add and subtract numbers written among distractors (Jozefowicz et al., 2015)",
        (
            whole("digits", 8, least=1, most=18),
            fraction("distractors", 0.48, most=0.95),
        ),
        lambda name, values: Arithmetic(name, **values),
        longer="digits",
    ),
    "xml": TaskRow(
        "nested tags with random names (Jozefowicz et al., 2015)",
        (whole("max_steps", 50, least=1, most=1000),),
        lambda name, values: Xml(name, **values),
        longer="max_steps",
    ),
    "copy": TaskRow(
        "read symbols, wait, and reproduce them (Hochreiter and Schmidhuber, 1997)",
        (
            whole("length", 8, least=1, most=1000),
            whole("symbols", 8, least=2, most=len(ALPHABET)),
            whole("delay", 10, least=1, most=10_000),
        ),
        lambda name, values: Copy(name, **values),
        longer="delay",
    ),
    "selective-copy": TaskRow(
        "reproduce the symbols that lie among blanks (Gu and Dao, 2023)",
        (
            whole("length", 6, least=1, most=1000),
            whole("symbols", 8, least=2, most=len(ALPHABET)),
            whole("blanks", 30, least=1, most=10_000),
        ),
        lambda name, values: SelectiveCopy(name, **values),
        longer="blanks",
    ),
    "reverse": TaskRow(
        "read symbols and write them backwards (Grefenstette et al., 2015)",
        (
            whole("length", 16, least=1, most=1000),
            whole("symbols", 8, least=2, most=len(ALPHABET)),
        ),
        lambda name, values: Reverse(name, **values),
        longer="length",
    ),
    "recall": TaskRow(
        "read pairs of a key and a value, then give the values of keys (Arora et al., 2023)",
        (
            whole("pairs", 3, least=1, most=len(KEYS)),
            whole("keys", 6, least=1, most=len(KEYS)),
            whole("values", 4, least=2, most=len(VALUES)),
        ),
        lambda name, values: Recall(name, **values),
        longer="pairs",
    ),
    "induction": TaskRow(
        "give the symbol that followed a mark (Olsson et al., 2022; Gu and Dao, 2023)",
        (
            whole("length", 50, least=2, most=10_000),
            whole("symbols", 16, least=2, most=len(ALPHABET)),
        ),
        lambda name, values: Induction(name, **values),
        longer="length",
    ),
    "dyck": TaskRow(
        "nested brackets of some kinds, to a bounded depth (Hewitt et al., 2020)",
        (
            whole("kinds", 3, least=1, most=len(OPENING)),
            whole("depth", 8, least=1, most=1000),
            one_of("counts", "all", among=tuple(COUNTED)),
        ),
        lambda name, values: Dyck(name, **values),
        longer="depth",
    ),
    "anbncn": TaskRow(
        "runs of the same length, a letter each (Gers and Schmidhuber, 2001)",
        (
            whole("length", 60, least=1, most=10_000),
            whole("letters", 3, least=2, most=len(LETTERS)),
        ),
        lambda name, values: Counting(name, **values),
        longer="length",
    ),
    "group": TaskRow(
        "the product of all elements so far, after each; Z2 is parity (Merrill et al., 2024)",
        (
            one_of("name", "S4", among=tuple(GROUPS)),
            whole("length", 20, least=1, most=10_000),
        ),
        lambda name, values: Group(name, group=values["name"], length=values["length"]),
        longer="length",
    ),
    "modular": TaskRow(
        "evaluate an expression modulo a small number (Delétang et al., 2023)",
        (
            whole("modulus", 5, least=2, most=10),
            whole("length", 4, least=2, most=16),
            whole("depth", 0, least=0, most=16),
        ),
        lambda name, values: Modular(name, **values),
        longer="length",
    ),
    "listops": TaskRow(
        "evaluate nested lists under maximum, minimum, median, sum (Nangia and Bowman, 2018)",
        (
            whole("depth", 3, least=1, most=16),
            whole("arguments", 3, least=2, most=5),
        ),
        lambda name, values: ListOps(name, **values),
        longer="depth",
    ),
    "house-numbers": TaskRow(
        "read a number of handwritten digits from left to right (Ba et al., 2015)",
        (
            whole("digits", 5, least=1, most=20),
            one_of("look", ATTENTION, among=WAYS),
        ),
        lambda name, values: HouseNumbers(name, digits=values["digits"], way=values["look"]),
        sequences=True,
    ),
    "adding": TaskRow(
        "add two marked numbers among many (Hochreiter and Schmidhuber, 1997)",
        (whole("length", 100, least=2, most=LONGEST),),
        lambda name, values: Adding(name, **values),
        sequences=True,
        longer="length",
    ),
    "icons": TaskRow(
        "write the names of Material Design Icons (with odyssey-cells[icons])",
        (one_of("look", FIRST, among=WAYS),),
        lambda name, values: icons_task(name, way=values["look"]),
        sequences=True,
    ),
    "digits": TaskRow(
        "read a handwritten digit pixel by pixel, then say which it is (Le et al., 2015)",
        (
            one_of("read", "pixels", among=tuple(AT_ONCE)),
            one_of("order", "rows", among=ORDERS),
        ),
        lambda name, values: Digits(name, **values),
        sequences=True,
    ),
    "paint": TaskRow(
        "paint a handwritten digit, grey level by grey level (after Gregor et al., 2015)",
        (whole("levels", LEVELS, least=2, most=LEVELS),),
        lambda name, values: Paint(name, **values),
        sequences=True,
    ),
    "frames": TaskRow(
        "see handwritten digits, and say at each the sum so far, modulo 10",
        (
            whole("length", 8, least=1, most=1_000),
            one_of("count", SUM, among=COUNTS),
        ),
        lambda name, values: Frames(name, **values),
        sequences=True,
        longer="length",
    ),
    "irregular": TaskRow(
        "say what signals are now that were seen at irregular times (after Che et al., 2018)",
        (
            whole("signals", 3, least=1, most=64),
            whole("length", 50, least=2, most=2_000),
            fraction("seen", 0.5, most=0.95),
        ),
        lambda name, values: Irregular(name, **values),
        sequences=True,
        longer="length",
    ),
    "dates": TaskRow(
        "read a date in any of many spellings, then write it as in 1998-03-03",
        (whole("spellings", len(SPELLINGS), least=1, most=len(SPELLINGS)),),
        lambda name, values: Dates(name, **values),
        sequences=True,
    ),
    "sentiment": TaskRow(
        "read a sentence from a film review, then say whether it praises (Pang and Lee, 2005)",
        (
            one_of("unit", "characters", among=UNITS),
            whole("words", KnownWords.most, least=2, most=1_000_000),
        ),
        lambda name, values: Sentiment(name, **values),
        sequences=True,
    ),
    "python-source": _python_source(),
    **{
        name: (_music if dataset.file == MUSIC_NAME else _corpus)(name, dataset)
        for name, dataset in DATASETS.items()
        if not dataset.part_of
    },
}
TASKS: Registry[TaskRow] = Registry(
    "task", _ROWS, problem=of_type(TaskRow, "a TaskRow (odyssey.tasks.registry)")
)
_TEXT_OPTIONS = _text_options("90/5/5")
_CAPTION_OPTIONS = (
    whole("height", 24, least=4, most=256),
    whole("width", 24, least=4, most=256),
    one_of("look", FIRST, among=WAYS),
    split("80/10/10"),
)


def list_tasks(*, sequences: bool | None = None) -> list[str]:
    """Lists the tasks that have a name; `text:PATH` makes one of any file.

    Args:
        sequences: Those of whole sequences only, or those that are streams; None: all.
    """
    return [name for name, row in TASKS.items() if sequences in (None, row.sequences)]


def describe_tasks() -> list[dict[str, str]]:
    """Lists the tasks as rows (name, summary, options with their defaults), without making any."""
    rows = [(name, row.summary, row.options) for name, row in TASKS.items()]
    rows.append((f"{TEXT_PREFIX}PATH", "any file", _TEXT_OPTIONS))
    about = "a folder of pictures with captions.csv"
    rows.append((f"{CAPTIONS_PREFIX}PATH", about, _CAPTION_OPTIONS))
    return [
        {
            "name": name,
            "summary": summary,
            "options": ",".join(f"{o.name}={o.show(o.default)}" for o in options),
        }
        for name, summary, options in rows
    ]


def get_task(spec: str) -> Task:
    """Makes the task that a spec addresses; reads, and where needed downloads, its text.

    Args:
        spec: `arithmetic`, `arithmetic@digits=4`, `text:book.txt@encoding=latin-1,split=80/10/10`.
            A path may hold '@': options are what follows the last one, if it looks like them.

    Raises:
        TaskError: Unknown names, nonsense values, a text that cannot be read or split.
    """
    if spec.startswith(TEXT_PREFIX):
        path, name, values = _path_spec(spec, TEXT_PREFIX, _TEXT_OPTIONS)
        data = read_file(Path(path).expanduser())
        return _text_task(name, data, values, facts={"path": path})
    if spec.startswith(CAPTIONS_PREFIX):
        return captions_task(spec)
    row, name, values = _row(spec)
    task = row.make(name, values)
    task.longer = _longer(row, values, task=name.partition("@")[0])
    return task


def captions_task(spec: str, place: str | None = None) -> Task:
    """Makes the task of a folder of pictures, `captions:PATH`.

    Args:
        spec: The spec.
        place: Where the folder lies, if that is another place than the spec says.

    Raises:
        TaskError: As `get_task`.
    """
    path, name, values = _path_spec(spec, CAPTIONS_PREFIX, _CAPTION_OPTIONS)
    parts, way = values.pop("split"), values.pop("look")
    return folder_task(name, path, place=place or path, parts=parts, way=way, **values)


def read_text(spec: str) -> bytes:
    """Reads the text that a spec names.

    Raises:
        TaskError: It names none, or one that cannot be read.
    """
    if spec.startswith(TEXT_PREFIX):
        return read_file(Path(_path_spec(spec, TEXT_PREFIX, _TEXT_OPTIONS)[0]).expanduser())
    row, _, values = _row(spec)
    if row.read is None:
        raise TaskError(f"{spec} reads no text")
    return row.read(values)


def _row(spec: str) -> tuple[TaskRow, str, dict[str, Any]]:
    """Gives the row that a spec names, the normalised spec, and the value of each option."""
    name, at, given = spec.partition("@")
    if spec in TASK_SETS:
        raise TaskError(f"{spec} is a set of tasks; name one: {', '.join(TASK_SETS[spec])}")
    if name not in TASKS:
        if any(mark in name for mark in "/\\.") or Path(name[:200]).is_file():
            shown = shorten(name)
            raise TaskError(f"no task called {quoted(name)}; for a file write {TEXT_PREFIX}{shown}")
        raise TaskError(
            suggest(name, [*TASKS, *(f"{prefix}PATH" for prefix in PATH_PREFIXES)], what="task")
        )
    row = TASKS[name]
    values = read_options(given if at else None, row.options, task=name)
    return row, name + show_options(values, row.options), values


def _longer(row: TaskRow, values: dict[str, Any], *, task: str) -> str | None:
    """Gives the spec of the variant of twice the length; None where there is none."""
    if row.longer is None:
        return None
    longer = values | {row.longer: 2 * values[row.longer]}
    spec = task + show_options(longer, row.options)
    try:
        row.make(spec, read_options(spec.partition("@")[2] or None, row.options, task=task))
    except TaskError:
        return None
    return spec


def _path_spec(
    spec: str, prefix: str, options: Sequence[Option]
) -> tuple[str, str, dict[str, Any]]:
    """Gives the path in a spec, the normalised spec, and the value of each option."""
    path, given = split_text(spec.removeprefix(prefix))
    if not path:
        raise TaskError(f"{shorten(spec)} names no file; expected {prefix}PATH")
    values = read_options(given or None, options, task=f"{prefix}PATH")
    shown = show_options(values, options)
    if not shown and split_text(path)[1]:
        first = options[0]  # or the end of the path would be read as options
        shown = f"@{first.name}={first.show(first.default)}"
    return path, prefix + path + shown, values
