"""Random search spaces as data, with the ranges of both papers as presets.

In a study each hyperparameter is a number (fixed), a table that says what it is drawn from
(`odyssey.distributions`), or `grid = [...]`, which is not drawn: grids are crossed, and the members
take all combinations in turn.

A table `cell` says the same of constants and sizes that cells have: `cell.dt = { uniform = [0.01,
0.5] }`. Whether a cell has one, and which values it may have, is for `Study.trials` to judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from odyssey.distributions import FIXED, GRID, Distribution, read_distribution
from odyssey.errors import ConfigError, suggest
from odyssey.hyperparameters import HYPERPARAMETERS, OF_CELL, row_of
from odyssey.training.config import TrainingConfig
from odyssey.training.seeds import stream
from odyssey.wording import quoted

Space = Mapping[str, Distribution]

# Greff et al. 2015, section 3.2; Jozefowicz et al. 2015, section 3.6; Karpathy et al. 2015,
# section 4.1, with the clipping of char-rnn; the defaults of char-rnn and torch-rnn, the numbers of
# min-char-rnn. What is not named has no part in the protocol.
SPACE_PRESETS: dict[str, dict[str, Any]] = {
    "odyssey": {
        "hidden_size": {"log_uniform": [20, 200]},
        "learning_rate": {"log_uniform": [1e-6, 1e-2]},
        "momentum": {"one_minus_log_uniform": [0.01, 1.0]},
        "input_noise": {"uniform": [0.0, 1.0]},
        "init_scale": 0.1,
    },
    "jozefowicz": {
        "init_scale": {"choice": [0.3, 0.7, 1.0, 1.4, 2.0, 2.8]},
        "learning_rate": {"choice": [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0]},
        "clip_norm": {"choice": [1.0, 2.5, 5.0, 10.0, 20.0]},
        "num_layers": {"choice": [1, 2, 3, 4]},
        "parameters": {"choice": [250_000, 1_000_000]},
    },
    "karpathy": {
        "hidden_size": {"choice": [64, 128, 256, 512]},
        "num_layers": {"choice": [1, 2, 3]},
        "learning_rate": 2e-3,
        "init_scale": 0.08,
        "clip_value": 5.0,
    },
    "char-rnn": {
        "hidden_size": 128,
        "num_layers": 2,
        "learning_rate": 2e-3,
        "init_scale": 0.08,
        "forget_bias": 1.0,
        "clip_value": 5.0,
    },
    "torch-rnn": {
        "hidden_size": 128,
        "num_layers": 2,
        "learning_rate": 2e-3,
        "init_scale": 0.5**0.5,  # N(0, 1/(D + H)) of both matrices in one, D = H
        "forget_bias": 1.0,
        "clip_value": 5.0,
    },
    "min-char-rnn": {
        "hidden_size": 100,
        "num_layers": 1,
        "learning_rate": 0.1,
        "init_scale": 0.01,
        "clip_value": 5.0,
    },
}

# Training options about which a protocol says nothing, or nothing that a stream of symbols has.
LEFT_OPEN: dict[str, tuple[str, ...]] = {
    "odyssey": ("unroll", "loss", "valid_characters", "test_characters"),
    "jozefowicz": ("valid_characters", "test_characters"),
    "karpathy": ("patience",),  # early stopping on validation, without a number
    "char-rnn": (),
    "torch-rnn": (),
    "min-char-rnn": (),
}


def fixed_by(preset: str) -> dict[str, Any]:
    """Gives the hyperparameters that a protocol fixes to one number; none for an unknown name."""
    given = SPACE_PRESETS.get(preset, {})
    return {name: value for name, value in given.items() if not isinstance(value, Mapping)}


def searched_by(preset: str) -> set[str]:
    """Names the hyperparameters that a protocol draws at random."""
    return set(SPACE_PRESETS.get(preset, {})) - set(fixed_by(preset))


def search_space(options: Mapping[str, Any], *, protocol: str = "") -> Space:
    """Makes a space from plain options; `preset` names a paper's ranges that the others override.

    Args:
        options: Hyperparameters by name, and `preset`.
        protocol: The preset of the training options: what it fixes of a member holds where the
            options say nothing, so that no protocol is taken by halves.

    Raises:
        ConfigError: An unknown hyperparameter or kind, or a range that makes no sense.
    """
    given = _spread(options)
    preset = given.pop("preset", None)
    if preset is not None and preset not in SPACE_PRESETS:
        raise ConfigError(suggest(str(preset), SPACE_PRESETS, what="space preset"))
    named = fixed_by(protocol) | SPACE_PRESETS.get(preset or "", {})
    # what is given comes last, in the order in which it is: grids are crossed in that order
    merged = {name: value for name, value in named.items() if name not in given} | given
    for name in merged:
        if name in TrainingConfig.__dataclass_fields__:
            raise ConfigError(f"{name} is a training option: write training.{name}")
        if row_of(name) is None:
            known = [*HYPERPARAMETERS, "preset", "cell"]
            raise ConfigError(suggest(name, known, what="hyperparameter"))
    for size, other in (("hidden_size", "parameters"), ("parameters", "hidden_size")):
        if size in given and other not in given:
            merged.pop(other, None)
    if "hidden_size" in merged and "parameters" in merged:
        raise ConfigError("space: give hidden_size or parameters, not both")
    return {name: _distribution(name, value) for name, value in merged.items()}


def _spread(options: Mapping[str, Any]) -> dict[str, Any]:
    """Puts what the table `cell` says in its place, by dotted names."""
    table = options.get("cell", {})
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"space.cell must be a table of constants and sizes (cell.dt = 0.05),"
            f" got {quoted(table)}"
        )
    found: dict[str, Any] = {}
    for name, value in options.items():
        inner = {OF_CELL + str(n): v for n, v in table.items()}
        found |= inner if name == "cell" else {name: value}
    return found


def _distribution(name: str, value: Any) -> Distribution:
    row = row_of(name)
    assert row is not None, "its name was checked"
    if isinstance(value, Mapping):
        return read_distribution(f"space.{name}", value, allowed=row.range, check=row.check)
    row.check(f"space.{name}", value)
    return Distribution(FIXED, (value,))


def cell_settings(space: Space) -> tuple[str, ...]:
    """Names the constants and sizes of cells that a space has, as the cells name them."""
    return tuple(n.removeprefix(OF_CELL) for n in space if n.startswith(OF_CELL))


def grid_size(space: Space) -> int:
    """Counts the combinations of a space's grids; 1 where it has none."""
    return math.prod(len(d.values) for d in space.values() if d.kind == GRID)


def repeats_of(space: Space, members: int) -> int:
    """Counts with how many seeds so many members try each combination; 1 where more is drawn."""
    if any(d.kind not in (GRID, FIXED) for d in space.values()):
        return 1
    return max(1, members // grid_size(space))


def grid_values(space: Space, member: int) -> dict[str, Any]:
    """Gives a member's combination of the grids: the grid named last changes fastest.

    Member k has combination k; after the last one they begin again, with other seeds.
    """
    found: dict[str, Any] = {}
    for name, d in reversed(list(space.items())):
        if d.kind == GRID:
            member, place = divmod(member, len(d.values))
            found[name] = d.values[place]
    return found


def draw_members(space: Space, *, count: int, seed: int, first: int = 0) -> list[dict[str, Any]]:
    """Draws members `first` to `first + count - 1` as plain data.

    Each hyperparameter of each member has a stream of its own, so that adding one, or more
    members, changes no other draw. The cell plays no part: all cells get the same draws. Grids are
    not drawn but crossed (`grid_values`).
    """
    return [
        {
            "member": member,
            "seed": int(stream(seed, "member", member).integers(2**31)),
            **_values(space, seed, member),
        }
        for member in range(first, first + count)
    ]


def _values(space: Space, seed: int, member: int) -> dict[str, Any]:
    """Gives a member's hyperparameters, in the order of their names."""
    values = grid_values(space, member)
    for name, d in space.items():
        row = row_of(name)
        if name not in values and row is not None:
            values[name] = d.draw(stream(seed, "space", name, member), allowed=row.range)
    return dict(sorted(values.items()))
