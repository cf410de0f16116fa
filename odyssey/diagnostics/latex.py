"""LaTeX that a model wrote: which of its paragraphs a compiler takes, where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

COMPILER = "pdflatex"
SECONDS = 20.0  # for a paragraph
_THEOREMS = ("theorem", "lemma", "proposition", "definition", "remark", "example", "exercise")
_PREAMBLE = (
    "\\documentclass{article}\n\\usepackage{amsmath,amssymb,amsthm}\n"
    + "".join(f"\\newtheorem{{{name}}}{{{name}}}\n" for name in _THEOREMS)
    + "\\begin{document}\n"
)


@dataclass(frozen=True)
class Compiled:
    """Counts paragraphs.

    Attributes:
        paragraphs: How many were tried.
        compiled: How many a compiler takes without an error.
    """

    paragraphs: int
    compiled: int


def looks_like_latex(text: str) -> bool:
    """Tells whether a text has the environments of LaTeX."""
    return "\\begin{" in text or "\\end{" in text


def compile_paragraphs(text: str, *, most: int = 20) -> Compiled | None:
    """Compiles the paragraphs of a text one by one, as documents of their own.

    A sample begins and ends in the middle of something, and a document fails by one error: its
    paragraphs are tried apart. The first and the last are left out where there are others.

    Args:
        text: LaTeX without a preamble.
        most: Paragraphs, at most.

    Returns:
        How many compile; None where there is no compiler.
    """
    compiler = shutil.which(COMPILER)
    if compiler is None:
        return None
    paragraphs = [p for p in text.split("\n\n") if p.strip()]
    if len(paragraphs) > 2:
        paragraphs = paragraphs[1:-1]
    paragraphs = paragraphs[:most]
    return Compiled(len(paragraphs), sum(_compiles(compiler, p) for p in paragraphs))


def _compiles(compiler: str, paragraph: str) -> bool:
    """Compiles one, in a folder of its own and without the right to run programs."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{_PREAMBLE}{paragraph}\n\\end{{document}}\n"
        Path(folder, "sample.tex").write_text(source, encoding="utf-8", errors="replace")
        how = ("-interaction=batchmode", "-halt-on-error", "-no-shell-escape", "sample.tex")
        try:
            done = subprocess.run(
                [compiler, *how],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0
