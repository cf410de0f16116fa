"""What goes wrong, named: one family of errors for users' mistakes.

Our own bugs are `assert`s and ordinary exceptions; an `OdysseyError` says in one line what was
given, what was expected and what to do. The command line prints it without a traceback and
exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from odyssey.wording import quoted


class OdysseyError(Exception):
    """Reports a mistake of the user's, or a run that could not be finished, in one line."""

    exit_code = 2


class CellError(OdysseyError, ValueError):
    """Reports a cell text, a cell spec or an ablation that makes no legal cell."""


class TaskError(OdysseyError, ValueError):
    """Reports a task that does not exist or cannot be made from what was given."""


class ConfigError(OdysseyError, ValueError):
    """Reports a study, a search space or a training option that makes no sense."""


class ArgumentError(OdysseyError, TypeError):
    """Reports an argument that a function of `odyssey` does not take, or that is missing."""


class StoreError(OdysseyError):
    """Reports a run directory that cannot be read or written."""


class RunFailedError(OdysseyError):
    """Reports a run that started and could not be finished."""

    exit_code = 1


class RunCutShortError(RunFailedError):
    """Reports a run that ended for what it ran on; what is finished is kept, and it can go on."""


def suggest(
    given: str, known: Iterable[str], *, what: str, see: str = "", also: Iterable[str] = ()
) -> str:
    """Writes `no WHAT called 'GIVEN'; closest: ...`, for an error about a mistyped name.

    Args:
        given: The name that was asked for.
        known: The names there are.
        what: The kind of thing, in the singular, such as "cell".
        see: A command or option that lists the names.
        also: Names of other things, which are offered where they are close, but never listed.
    """
    names = sorted(known)
    close = difflib.get_close_matches(given, [*names, *also], n=3, cutoff=0.5)
    hint = f"closest: {', '.join(close)}" if close else f"choose one of {', '.join(names[:12])}"
    if not close and len(names) > 12:
        hint += ", ..."
    return f"no {what} called {quoted(given)}; {hint}" + (f" (see: {see})" if see else "")
