"""Tables of named rows that a plug-in may add to, and what is computed from them.

A `Registry` is a dict from names to rows. Whatever is computed from registries (a set of names, an
index by another key) is a `View`, a dict that is made again when one of its registries changes: a
row that is added later counts everywhere, and reading costs no more than reading a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from odyssey.errors import ConfigError
from odyssey.wording import quoted

Key = TypeVar("Key")
Row = TypeVar("Row")

BUILT_IN = "odyssey"


class Registry(dict[str, Row]):
    """Rows by name, all of one type; changed by `[name] = row`, `del [name]` and `add` alone.

    Args:
        what: What a row is, in the singular, such as "primitive".
        rows: The rows of the package.
        problem: Says what is wrong with a row that somebody else adds, given its name and itself;
            "" where nothing is.
    """

    def __init__(
        self,
        what: str,
        rows: Mapping[str, Row],
        *,
        problem: Callable[[str, Any], str],
    ) -> None:
        super().__init__(rows)
        self.what = what
        self._problem = problem
        self._views: list[Callable[[], None]] = []
        self._sources: dict[str, str] = {}

    def __setitem__(self, name: str, row: Row) -> None:
        super().__setitem__(name, row)
        self._tell()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._sources.pop(name, None)
        self._tell()

    def add(self, name: str, row: Any, *, source: str) -> None:
        """Adds the row of a plug-in.

        Args:
            name: Its name.
            row: The row.
            source: The plug-in, as messages name it.

        Raises:
            ConfigError: The row is none of this table, or something else has its name.
        """
        self.check(name, row)
        self._sources[name] = source
        self[name] = row

    def check(self, name: str, row: Any) -> None:
        """Raises `ConfigError` where `add` would."""
        if name in self:
            raise ConfigError(
                f"{quoted(name)} is already a {self.what} of {self.source(name)};"
                " give yours another name"
            )
        if why := self._problem(name, row):
            raise ConfigError(why)

    def source(self, name: str) -> str:
        """Names the plug-in that a row is from, or the package."""
        return self._sources.get(name, BUILT_IN)

    @property
    def added(self) -> tuple[str, ...]:
        """The names of the rows that plug-ins have added."""
        return tuple(self._sources)

    def watch(self, changed: Callable[[], None]) -> None:
        """Has a function called after every change."""
        self._views.append(changed)

    def _tell(self) -> None:
        for changed in self._views:
            changed()


class View(dict[Key, Row]):
    """What is computed from registries, the same as they are by now; it is only read.

    Args:
        compute: Gives the items; called again after every change.
        registries: The registries that it reads.
    """

    def __init__(
        self,
        compute: Callable[[], Mapping[Key, Row] | Iterable[tuple[Key, Row]]],
        *registries: Registry[Any],
    ) -> None:
        super().__init__(compute())
        self._compute = compute
        for registry in registries:
            registry.watch(self._again)

    def _again(self) -> None:
        items = dict(self._compute())
        self.clear()
        self.update(items)


def subset(registry: Registry[Row], wanted: Callable[[str, Row], bool]) -> View[str, Row]:
    """Makes a view of the rows that are wanted, in the order of the table."""
    return View(lambda: {n: row for n, row in registry.items() if wanted(n, row)}, registry)


def of_type(kind: type, what: str) -> Callable[[str, Any], str]:
    """Makes the `problem` of a registry whose rows are of a type, named as the type's name."""

    def problem(name: str, row: Any) -> str:
        if isinstance(row, kind):
            own = getattr(row, "name", name)
            if own != name:
                return f"{quoted(name)} calls itself {quoted(str(own))}: write the same name"
            return ""
        return f"{quoted(name)} must be {what}, got {type(row).__name__}"

    return problem
