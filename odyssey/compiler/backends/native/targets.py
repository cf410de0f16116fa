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
        tilings: Those that may suit; the first is used where nothing was measured.
        machine: The kind of processor that has them, as `platform.machine` names it; any if empty.
        flags: What makes a compiler use them and nothing wider.
    """

    bytes: int
    tilings: tuple[Tiling, ...]
    machine: str = ""
    flags: str = ""


TARGETS = {
    "avx512": Target(
        64,
        (Tiling((8, 8, 8, 6), 256, 128),),
        "x86_64",
        "-march=x86-64 -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl",
    ),
    "avx2": Target(32, (Tiling((8, 6, 4), 256, 128),), "x86_64", "-march=x86-64 -mfma -mavx2"),
    "sse2": Target(16, (Tiling((8, 5, 3), 256, 128),), "x86_64", "-march=x86-64"),
    "neon": Target(16, (Tiling((8, 8, 8, 6), 256, 128),), "aarch64", "-march=armv8-a"),
    "plain": Target(16, (Tiling((8, 5, 3), 256, 128),)),
}
"""The widest of a kind of processor first: one runs its own and all that follow of that kind."""
