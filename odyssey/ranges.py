"""What values a field may have: its type, and the least and most that make sense.

Range keep out what no machine could train or no mathematics allows, before anything is written;
they judge nobody's taste. Each stands in the table of its field, beside the default.
"""

from __future__ import annotations

from dataclasses import dataclass

from odyssey.errors import ConfigError
from odyssey.wording import quoted


@dataclass(frozen=True)
class Range:
    """A range of numbers.

    Attributes:
        kind: int or float; whole numbers do for a float.
        least: The lower end.
        most: The upper end.
        above: Whether the lower end itself is refused.
        below: Whether the upper end itself is refused.
    """

    kind: type
    least: float
    most: float
    above: bool = False
    below: bool = False

    def admits(self, value: object) -> bool:
        """Tells whether a field may have the value."""
        kinds = (int,) if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        inside = self.least <= value <= self.most  # NaN is in no range
        return inside and not (
            (self.above and value == self.least) or (self.below and value == self.most)
        )

    def check(self, name: str, value: object) -> None:
        """Raises `ConfigError`, which names the field and the range, for any other value."""
        if not self.admits(value):
            raise ConfigError(f"{name} must be {self}, got {quoted(value)}")

    def __str__(self) -> str:
        what = "a whole number" if self.kind is int else "a number"
        low, high = _number(self.least), _number(self.most)
        if not self.above and not self.below:
            return f"{what} from {low} to {high}"
        return f"{what} {'above' if self.above else 'from'} {low} {_UP[self.below]} {high}"


_UP = {False: "up to", True: "and below"}


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) and abs(value) < 2**63 else f"{value:g}"
