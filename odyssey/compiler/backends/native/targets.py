"""Processors: how wide their vectors are, and the tilings of matrix products that suit them.

A product is computed in *strips* of a few vectors of its columns, a strip in *tiles* of a few rows,
and a tile in blocks of its inner length (`source.shared`). How many of each is a `Tiling`. It
changes how fast a product is and nothing else: every number is the same sum in the same order, so
results are equal to the bit whatever the tiling.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tiling:
    """How products are cut.

    Attributes:
        rows: Vectors of a strip -> rows of a tile, whose sums are kept in registers; strips are as
            wide as the widest that stands here, or narrower.
        inner: Rows of a packed strip that are used up before the next: they should fit into half
            of the first-level cache.
        hot: Kilobytes of products that a phase of a step asks for at a time.
    """

    rows: tuple[int, ...]
    inner: int
    hot: int

    @property
    def wide(self) -> int:
        """Vectors of the widest strip."""
        return len(self.rows)

    @property
    def name(self) -> str:
        """The tiling as a word, as records and tables show it."""
        return f"{'-'.join(map(str, self.rows))}x{self.inner}h{self.hot}"


MOST_TILE = 32  # vectors of sums in a tile


@dataclass(frozen=True)
class Target:
    """Vectors of a processor.

    Attributes:
        bytes: Width of a vector.
        registers: Vectors that a tile may keep at a time: its sums, a row of its strip and a
            number of its own; one less than there are where a product is added in two operations.
        tilings: Those that may suit; the first is used where nothing was measured (`tuning`).
        machine: The kind of processor that has them, as `platform.machine` names it; any if empty.
        flags: What makes a compiler use them and nothing wider.
    """

    bytes: int
    registers: int
    tilings: tuple[Tiling, ...]
    machine: str = ""
    flags: str = ""

    def tiling(self, name: str) -> Tiling | None:
        """Finds a tiling by its name."""
        return next((t for t in self.tilings if t.name == name), None)


_MANY = (  # for 32 registers
    Tiling((8, 8, 8, 6), 256, 128),
    Tiling((8, 8, 8, 6), 512, 128),
    Tiling((8, 8, 8, 6), 256, 32),
    Tiling((8, 8, 8, 6), 256, 512),
    Tiling((16, 14, 9, 6), 256, 128),
    Tiling((16, 12, 8), 256, 128),
    Tiling((16, 14), 512, 128),
)
_FEW = (  # for 16 registers without products that add
    Tiling((8, 5, 3), 256, 128),
    Tiling((8, 5, 3), 512, 128),
    Tiling((8, 5, 3), 256, 32),
    Tiling((8, 5, 3), 256, 512),
    Tiling((12, 6, 3), 256, 128),
    Tiling((12, 6), 512, 128),
)

TARGETS = {
    "avx512": Target(
        64, 32, _MANY, "x86_64", "-march=x86-64 -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl"
    ),
    "avx2": Target(
        32,
        16,
        (
            Tiling((8, 6, 4), 256, 128),
            Tiling((8, 6, 4), 128, 128),
            Tiling((8, 6, 4), 512, 128),
            Tiling((8, 6, 4), 256, 32),
            Tiling((8, 6, 4), 256, 512),
            Tiling((12, 6, 4), 256, 128),
            Tiling((12, 6), 256, 128),
            Tiling((12, 6), 512, 128),
        ),
        "x86_64",
        "-march=x86-64 -mfma -mavx2",
    ),
    "sse2": Target(16, 15, _FEW, "x86_64", "-march=x86-64"),
    "neon": Target(16, 32, _MANY, "aarch64", "-march=armv8-a"),
    "plain": Target(16, 15, _FEW),
}
"""The widest of a kind of processor first: one runs its own and all that follow of that kind."""
