"""Rewrites the golden C files: `make golden`. Read the difference before you keep it."""

from pathlib import Path

import odyssey
from odyssey.compiler.backends.native.codegen import generate
from odyssey.compiler.backends.native.plan import make_plan
from odyssey.compiler.lowering import lower

FOLDER = Path(__file__).parent / "golden"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for spec in ("elman", "lstm", "gru"):
        plan = make_plan(lower(odyssey.get_cell(spec)))
        source, _ = generate(plan, dtype="float32", target="avx512")
        (FOLDER / f"{spec}.c").write_text(source)
