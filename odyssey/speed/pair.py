"""Section `pair`: what two processes on two cores lose to each other.

Two processes of one thread each hold the same layer. In every round the first works alone for a
while, then the second, then both; so what slows the machine down meets all three. What they lose
is what they share: memory, the last cache, the clock. A process is told what to do on its standard
input, one line a turn, and answers with its rate. Shapes: T steps, B batch rows, H hidden units.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import torch

from odyssey.compiler import RNN
from odyssey.errors import RunFailedError
from odyssey.specs import get_cell
from odyssey.speed.layers import layer_step
from odyssey.speed.measure import without_collection
from odyssey.speed.section import Case, Finding, Measurement, Settings, column
from odyssey.threads import count_cores

GOAL = 0.9
SECONDS = 0.4  # of a turn: many calls of the largest layer
PROCESSES = 2


def serve(hidden: int, batch: int, steps: int) -> None:
    """Runs a layer for as long as each line of standard input says, and prints calls a second."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the input ends this
    torch.set_num_threads(1)
    model = RNN(get_cell("lstm"), hidden, hidden, backend="native")
    x_TBI = torch.randn(steps, batch, hidden, requires_grad=True)
    step = layer_step(model, x_TBI, torch.randn(steps, batch, hidden))
    step()
    step()
    print("ready", flush=True)
    with without_collection():
        for line in sys.stdin:
            start, calls, wanted, spent = time.perf_counter(), 0, float(line), 0.0
            while spent < wanted:
                step()
                calls += 1
                spent = time.perf_counter() - start
            print(calls / spent, flush=True)


@contextmanager
def _process(hidden: int, batch: int, steps: int) -> Iterator[subprocess.Popen[str]]:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from odyssey.speed.pair import serve;"
        f" serve({hidden}, {batch}, {steps})"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as one:
        try:
            yield one
        except BaseException:
            one.kill()
            raise
        # leaving closes its input, at which it ends


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RunFailedError("a process of section pair ended before it had measured anything")
    return line


def _rates(processes: Sequence[subprocess.Popen[str]], seconds: float) -> list[float]:
    """Lets processes work at the same time; gives the calls a second of each."""
    with suppress(BrokenPipeError):  # of one that has ended, which gives no answer
        for process in processes:
            print(seconds, file=process.stdin, flush=True)
    return [float(_answer(process)) for process in processes]


def _measure(hidden: int, batch: int, settings: Settings) -> Measurement:
    seconds = 0.01 if settings.quick else SECONDS
    alone: list[list[float]] = []
    together: list[list[float]] = []
    with ExitStack() as stack:
        # one after the other, so that only the first may have to compile
        processes = []
        for _ in range(PROCESSES):
            processes.append(stack.enter_context(_process(hidden, batch, settings.steps)))
            _answer(processes[-1])
        for _ in range(settings.rounds):
            alone.append([_rates([process], seconds)[0] for process in processes])
            together.append(_rates(processes, seconds))
    single, both = (
        [statistics.median(rates) for rates in zip(*found, strict=True)]
        for found in (alone, together)
    )
    shares = [b / s for b, s in zip(both, single, strict=True)]
    return {
        "H": hidden,
        "B": batch,
        **{f"{n} alone": rate for n, rate in zip(("first", "second"), single, strict=True)},
        **{f"{n} together": rate for n, rate in zip(("first", "second"), both, strict=True)},
        "together / alone": min(shares),
    }


def pair_cases(settings: Settings) -> list[Case]:
    """Lists the hidden sizes."""
    turn = 3e3 * (0.01 if settings.quick else SECONDS)
    return [
        Case(
            f"lstm H={hidden} B={batch}",
            6e3 + turn * settings.rounds,
            partial(_measure, hidden, batch, settings),
        )
        for hidden in settings.hidden_sizes(64, 256)
        for batch in settings.batch_sizes(32)
    ]


def pair_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the rate beside the other over the rate alone, of the process that loses more."""
    return [
        Finding(
            f"lstm in two processes, each beside alone, H = {row['H']}, B = {row['B']}",
            share,
            GOAL,
        )
        for row, share in zip(rows, column(rows, "together / alone"), strict=True)
    ]


def lacking_cores() -> str:
    """Says that there is but one core, where that is so."""
    return "" if count_cores() >= PROCESSES else "it needs two cores, and there is one"
