"""Names of the sections, in their order; torch is not loaded to read them."""

from __future__ import annotations

SECTION_NAMES = (
    *("dense", "classes", "cells", "sgemm", "compile", "tiny", "step", "train"),
    "pair",
)
