"""Rewrites the golden C files: `make golden`. Read the difference before you keep it."""

from pathlib import Path

import odyssey
from odyssey.compiler.backends.native.plan import make_plan
from odyssey.compiler.backends.native.source.writer import generate
from odyssey.compiler.lowering import lower

FOLDER = Path(__file__).parent / "golden"
SPECS = ("elman", "lstm", "lstm_peephole", "gru", "mut1")


def golden_source(spec):
    """Generates what a golden file holds: float32 for AVX-512, whatever the machine."""
    plan = make_plan(lower(odyssey.get_cell(spec)))
    return generate(plan, dtype="float32", target="avx512")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in SPECS:
        (FOLDER / f"{name}.c").write_text(golden_source(name))
