"""Which tilings of matrix products are fastest on this machine."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.errors import ConfigError, suggest
from odyssey.ranges import Range
from odyssey.threads import hold_to_one_thread

if TYPE_CHECKING:
    from odyssey.speed.tuning import Progress, Round, Size, Tuned

HIDDEN = (32, 64, 128, 256)
BATCH = (1, 16, 64)
DTYPES = {"float32": ("float32",), "float64": ("float64",), "both": ("float32", "float64")}
_RANGES = {
    "seconds": Range(float, 0, 86_400),
    "hidden": Range(int, 1, 4096),
    "batch": Range(int, 1, 4096),
}


@dataclass(frozen=True)
class TuneOptions:
    """What is measured.

    Attributes:
        seconds: About how long; every size is measured in a few rounds whatever it says.
        dtype: float32, float64 or both.
        hidden: Hidden sizes instead of 32, 64, 128 and 256.
        batch: Batch sizes instead of 1, 16 and 64.
    """

    seconds: float = 60.0
    dtype: str = "float32"
    hidden: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(suggest(self.dtype, DTYPES, what="value of dtype"))
        for name, allowed in _RANGES.items():
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else (given,):
                allowed.check(name, value)


@dataclass(frozen=True)
class TuneReport:
    """What was measured: the machine, a row a size, and the files that hold the choices."""

    machine: dict[str, str]
    rows: tuple[Tuned, ...]
    files: tuple[Path, ...]


def tune(
    options: TuneOptions | None = None,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    prepare: Callable[[Size], Round] | None = None,
    date: datetime.date | None = None,
) -> TuneReport:
    """Measures, with one thread, which tilings are fastest, for processes that start later.

    Numbers do not depend on tilings. Nothing is written before all is measured; then the sizes
    measured take the place of those that were measured before. Threads are counted when torch is
    loaded, so that what loaded it before must have said one.

    Args:
        options: What is measured.
        progress: Hears of every size before it is measured.
        prepare: Gives what measures a size once.
        date: The day; today if None.

    Raises:
        ConfigError: There is no C compiler, or the cache cannot be used.
    """
    hold_to_one_thread()  # before the libraries are loaded, which is below

    from odyssey.compiler.backends.native import toolchain, tuning
    from odyssey.speed.machine import describe_machine
    from odyssey.speed.tuning import Size, tune_sizes

    options = options or TuneOptions()
    toolchain.compiler()
    tuning.require_cache()
    dtypes, target = DTYPES[options.dtype], toolchain.target()
    sizes = [
        Size(dtype, hidden, batch)
        for dtype in dtypes
        for hidden in dict.fromkeys(options.hidden or HIDDEN)
        for batch in dict.fromkeys(options.batch or BATCH)
    ]
    rows = tuple(tune_sizes(sizes, seconds=options.seconds, progress=progress, prepare=prepare))
    files = []
    for dtype in dtypes:
        choices = [
            tuning.Choice(row.size.hidden, row.size.batch, row.tiling)
            for row in rows
            if row.size.dtype == dtype
        ]
        day = date or datetime.date.today()
        files.append(tuning.write_tuning(dtype, target, choices, date=day))
    machine = describe_machine()
    del machine["tilings"], machine["dtype"]  # those of what was measured stand in the rows
    return TuneReport(machine, rows, tuple(files))


def forget_tunings() -> tuple[Path, ...]:
    """Goes back to the built-in tilings of this processor; gives the files that are gone.

    Raises:
        ConfigError: A file cannot be removed.
    """
    from odyssey.compiler.backends.native import tuning

    return tuple(tuning.remove_tunings())
