"""All combinations of some changes of a cell: which specs they are, and which change each has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from odyssey.errors import ConfigError
from odyssey.specs import ablated_spec
from odyssey.wording import quoted

MOST_CHANGES = 6  # 64 cells


def combined_specs(base: str, changes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Lists the specs of all combinations of changes, the unchanged cell first.

    Args:
        base: The spec of the cell.
        changes: Ablations of it.

    Returns:
        By spec the changes that it has, in the order given.

    Raises:
        ConfigError: There are too few or too many changes, or one is there twice.
    """
    if not 2 <= len(changes) <= MOST_CHANGES or len(set(changes)) < len(changes):
        raise ConfigError(
            f"a factorial takes 2 to {MOST_CHANGES} different changes, got {quoted(list(changes))}"
        )
    return {
        ablated_spec(base, part): part
        for size in range(len(changes) + 1)
        for part in combinations(changes, size)
    }
