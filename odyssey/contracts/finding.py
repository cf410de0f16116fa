"""What a check of a row says, and how checks are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["ok", "wrong", "missing"]
OK: Verdict = "ok"
WRONG: Verdict = "wrong"
MISSING: Verdict = "missing"


class Wrong(Exception):  # noqa: N818 - it is a verdict
    """Says that a row breaks its contract; its text is how."""


class Missing(Exception):  # noqa: N818 - it is a verdict
    """Says that a row lacks something it may lack; its text is what it cannot do then."""


Check = Callable[[str, Any], None]
Checks = Mapping[str, Check]
"""What is checked, in words -> the check: a function of the name of a row and the row."""


@dataclass(frozen=True)
class Finding:
    """What one check says of one row.

    Attributes:
        table: The table, such as `PRIMITIVES`.
        row: The name of the row; empty where the plug-in itself is meant.
        check: What was checked.
        verdict: `ok`; `wrong`; or `missing`, what is optional and not there.
        message: What is wrong or missing, in a line.
    """

    table: str
    row: str
    check: str
    verdict: Verdict
    message: str = ""


def findings(table: str, name: str, row: Any, checks: Checks) -> Iterator[Finding]:
    """Puts a row to checks, one finding each; whatever a row raises is a fault of it."""
    for says, check in checks.items():
        try:
            check(name, row)
        except Wrong as wrong:
            yield Finding(table, name, says, WRONG, _line(wrong))
        except Missing as missing:
            yield Finding(table, name, says, MISSING, _line(missing))
        except Exception as error:
            yield Finding(
                table, name, says, WRONG, f"raises {type(error).__name__}: {_line(error)}"
            )
        else:
            yield Finding(table, name, says, OK)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def expect(holds: bool, message: str) -> None:
    """Raises `Wrong` with the message unless something holds."""
    if not holds:
        raise Wrong(message)
