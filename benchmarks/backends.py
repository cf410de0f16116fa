"""Measures cells on the native backend against the eager one and torch.nn, side by side.

    python benchmarks/backends.py [--rounds 7] [--steps 128] [--out FILE]

Milliseconds of a forward and a backward pass with gradients of weights and dense input (I = H),
float32, one thread: medians over rounds in which the candidates take turns. Then the same for
populations of 4 that read class indices, as `make search` trains them.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import odyssey
from odyssey.compiler.backends.native import toolchain

Step = Callable[[], None]
TORCH = {"lstm": nn.LSTM, "gru_torch": nn.GRU, "elman": nn.RNN}


def step(model: nn.Module, x: torch.Tensor) -> Step:
    def run() -> None:
        model.zero_grad(set_to_none=True)
        x.grad = None
        model(x)[0].sum().backward()

    return run


def medians(candidates: dict[str, Step], rounds: int) -> dict[str, float]:
    for run in candidates.values():
        run()
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(s) for name, s in seconds.items()}


def sgemm_rate() -> float:
    a, b = torch.randn(4096, 256), torch.randn(256, 1024)
    found = medians({"sgemm": lambda: torch.mm(a, b)}, 20)["sgemm"]  # type: ignore[dict-item]
    return 2 * 4096 * 256 * 1024 / found / 1e6


def processor() -> str:
    lines = toolchain.processor().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def dense(rounds: int, steps: int) -> list[str]:
    out = [
        f"### Dense input, T = {steps}, I = H",
        "",
        "| cell | H | B | native | eager | nn | eager / native | nn / native |",
        "|---|---|---|---|---|---|---|---|",
    ]
    against_nn, against_eager = [], []
    for spec in ("lstm", "gru_torch", "elman", "gru", "mut1"):
        for hidden in (64, 128, 256):
            for batch in (16, 32, 64):
                x = torch.randn(steps, batch, hidden, requires_grad=True)
                cell = odyssey.get_cell(spec)
                runs = {
                    b: step(odyssey.RNN(cell, hidden, hidden, backend=b), x)
                    for b in ("native", "eager")
                }
                if spec in TORCH:
                    runs["nn"] = step(TORCH[spec](hidden, hidden), x)
                ms = medians(runs, rounds)
                against_eager.append(ms["eager"] / ms["native"])
                row = [spec, hidden, batch, f"{ms['native']:.2f}", f"{ms['eager']:.2f}"]
                row += [f"{ms['nn']:.2f}" if "nn" in ms else "-", f"{against_eager[-1]:.2f}"]
                if "nn" in ms:
                    against_nn.append(ms["nn"] / ms["native"])
                row.append(f"{against_nn[-1]:.2f}" if "nn" in ms else "-")
                out.append("| " + " | ".join(map(str, row)) + " |")
                print(out[-1], file=sys.stderr, flush=True)
    return [
        *out,
        "",
        f"Geometric means: {mean(against_eager):.2f} over eager, {mean(against_nn):.2f} over nn.",
    ]


def populations(rounds: int, *, members: int = 4, batch: int = 20, steps: int = 35) -> list[str]:
    out = [
        f"### Class indices (65 symbols), populations of {members}, T = {steps}, B = {batch}",
        "",
        "| cell | H | native | eager | eager / native |",
        "|---|---|---|---|---|",
    ]
    ratios = []
    for spec in ("lstm", "lstm_peephole", "gru", "mgu", "elman"):
        for hidden in (64, 100, 128):
            x = torch.randint(0, 65, (members, steps, batch))
            cell = odyssey.get_cell(spec)
            runs = {
                b: step(odyssey.RNN(cell, 65, hidden, population=members, backend=b), x)
                for b in ("native", "eager")
            }
            ms = medians(runs, rounds)
            ratios.append(ms["eager"] / ms["native"])
            row = [spec, hidden, f"{ms['native']:.2f}", f"{ms['eager']:.2f}", f"{ratios[-1]:.2f}"]
            out.append("| " + " | ".join(map(str, row)) + " |")
            print(out[-1], file=sys.stderr, flush=True)
    return [*out, "", f"Geometric mean: {mean(ratios):.2f} over eager."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--out", metavar="FILE", help="write the Markdown there too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    command = toolchain.compiler()
    lines = [
        "## Backends, milliseconds forward and backward",
        "",
        f"{processor()}, target {toolchain.target()}; torch {torch.__version__}, {command[0]};"
        f" 1 thread, float32; medians of {args.rounds} interleaved rounds."
        f" torch's own sgemm: {sgemm_rate():.0f} GFLOP/s.",
        "",
        *dense(args.rounds, args.steps),
        "",
        *populations(args.rounds),
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if args.out:
        Path(args.out).write_text(text)


if __name__ == "__main__":
    main()
