"""A trained model writes, symbol by symbol; one of music plays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from odyssey.device_names import CPU
from odyssey.errors import ConfigError
from odyssey.jobs.choice import ModelChoice, chosen_model
from odyssey.jobs.play import PlayedMusic, PlayOptions, play
from odyssey.names import printable
from odyssey.options import Options

if TYPE_CHECKING:
    from odyssey.diagnostics.brackets import Brackets
    from odyssey.diagnostics.latex import Compiled
    from odyssey.studies.trained import TrainedModel
    from odyssey.tasks.base import Task


LENGTH = 2000
"""Symbols that are written where nobody says how many."""


@dataclass(frozen=True, kw_only=True)
class SampleOptions(Options):
    r"""How a model writes.

    Attributes:
        length: Symbols, or frames of music; None: what is usual for either.
        temperature: Divides the logits; 0 always takes the likeliest symbol.
        top_k: Draws among so many likeliest symbols; among all if None.
        prime: Text to go on from, `\xNN` as in what samples print; None begins as the task does.
        seed: Seed.
        device: Where the model computes.
    """

    length: int | None = None
    temperature: float = 1.0
    top_k: int | None = None
    prime: str | None = None
    seed: int = 1
    device: str = CPU

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length is not None and self.length < 1:
            raise ConfigError(f"--length must be at least 1, got {self.length}")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"--temperature must be a number >= 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"--top-k must be at least 1, got {self.top_k}")
        if self.seed < 0:
            raise ConfigError(f"--seed must not be negative, got {self.seed}")
        if self.prime == "":
            raise ConfigError("--prime is empty; leave it out to begin as the task does")


@dataclass(frozen=True, repr=False)
class WrittenText:
    """What a model writes; it is generated while it is read, once, and kept in `text`.

    Attributes:
        task: What the model has learned.
        prime: What it read first, class indices.
        begun: The part of the prime that belongs to the text: none of the task's own.
        generated: The class indices it makes of that.
    """

    task: Task
    prime: Sequence[int]
    begun: Sequence[int]
    generated: Iterator[int]

    def __repr__(self) -> str:
        return f"<WrittenText of {printable(self.task.name)}: print it>"

    def pieces(self) -> Iterator[str]:
        """Gives the text, what it begins with first, then a character at a time."""
        from odyssey.training.sampling import stream_text

        yield self.task.decode(self.begun)
        last = self.begun[-1] if self.begun else None
        yield from stream_text(self.task, self.generated, after=last)

    @cached_property
    def text(self) -> str:
        """The text, what it begins with first; unless it was read in pieces before."""
        return "".join(self.pieces())

    def __str__(self) -> str:
        return self.text

    def data(self) -> bytes:
        """Gives the text as the bytes of a file."""
        return self.task.data([*self.begun, *self.generated])


@dataclass(frozen=True)
class SampleScore:
    """How well formed a sample is.

    Attributes:
        brackets: Its brackets.
        latex: Its paragraphs; None where it is no LaTeX, or there is no compiler.
        is_latex: Whether it is LaTeX.
    """

    brackets: Brackets
    latex: Compiled | None
    is_latex: bool

    def lines(self) -> Iterator[str]:
        """Writes it in words, a line each."""
        share = self.brackets.share
        rate = "" if share is None else f" ({share:.0%})"
        yield f"brackets closed: {self.brackets.closed} of {self.brackets.opened}{rate}"
        if self.latex:
            yield f"paragraphs that compile: {self.latex.compiled} of {self.latex.paragraphs}"
        elif self.is_latex:
            yield "paragraphs that compile: not measured, for there is no pdflatex"

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        brackets = {**asdict(self.brackets), "share": self.brackets.share}
        return {"brackets": brackets, "latex": asdict(self.latex) if self.latex else None}


def score_sample(text: str) -> SampleScore:
    """Counts the brackets of a text that are closed and, of LaTeX, the paragraphs that compile."""
    from odyssey.diagnostics.brackets import count_brackets
    from odyssey.diagnostics.latex import compile_paragraphs, looks_like_latex

    is_latex = looks_like_latex(text)
    return SampleScore(
        count_brackets(text), compile_paragraphs(text) if is_latex else None, is_latex
    )


def sample_text(
    directory: str, options: SampleOptions | None = None, *, choice: ModelChoice | None = None
) -> WrittenText:
    """Lets a model that a run has kept write.

    Raises:
        OdysseyError: There is no such model, or the prime holds a symbol that its task lacks.
    """
    options = options or SampleOptions()
    trained = chosen_model(directory, choice or ModelChoice(), device=options.device)
    return _write(trained, options)


def sample_any(
    directory: str, options: SampleOptions, music: PlayOptions, *, choice: ModelChoice
) -> WrittenText | PlayedMusic:
    """Lets a model that a run has kept write or play, whatever it has learned.

    Args:
        directory: The run.
        options: How it writes; of music, length, temperature and seed count.
        music: How it plays.
        choice: Which of the models of the run.

    Raises:
        OdysseyError: There is no such model, it cannot begin so, or nothing can be written.
    """
    from odyssey.tasks.music import Music
    from odyssey.training.seeds import stream

    trained = chosen_model(directory, choice, device=options.device)
    if not isinstance(trained.task, Music):
        return _write(trained, options)
    for flag, given in (("--prime", options.prime), ("--top-k", options.top_k)):
        if given is not None:
            raise ConfigError(f"{flag} is for text, and {trained.task.name} is music")
    return play(
        trained.model,
        trained.task,
        music,
        length=options.length,
        temperature=options.temperature,
        rng=stream(options.seed, "sample"),
    )


def _write(trained: TrainedModel, options: SampleOptions) -> WrittenText:
    """Lets a model write."""
    from odyssey.training.sampling import sample
    from odyssey.training.seeds import stream

    task = trained.task
    own = options.prime is None
    prime = task.sample_prime() if options.prime is None else task.encode(options.prime)
    generated = sample(
        trained.model,
        prime,
        length=LENGTH if options.length is None else options.length,
        temperature=options.temperature,
        top_k=options.top_k,
        rng=stream(options.seed, "sample"),
    )
    return WrittenText(task, prime.tolist(), [] if own else prime.tolist(), generated)
