"""Measures one layer of the library beside torchrecurrent's, forward and backward, one thread.

    python benchmarks/torchrecurrent_layers.py [--hidden 64 128] [--steps 128] [--batch 32]

The cells are those that the tests compare number for number (`PEERS`). Ours and theirs take turns
in one process, so that what else the machine does meets both; medians are compared.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path

import torch
import torchrecurrent

import odyssey
from odyssey.speed.machine import describe_machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

INPUTS = 64


def seconds(layer, x, weights) -> float:
    """Times a forward and a backward pass."""
    begun = time.perf_counter()
    output = layer(x)[0]
    (output * weights).sum().backward()
    taken = time.perf_counter() - begun
    for parameter in layer.parameters():
        parameter.grad = None
    return taken


def medians(
    name: str, peer, *, hidden: int, steps: int, batch: int, turns: int
) -> tuple[float, float]:
    """Gives the median seconds of theirs and ours."""
    cell = odyssey.get_cell(name)
    inputs = hidden if cell.shapes.square else INPUTS
    ours = odyssey.RNN(cell, inputs, hidden)
    theirs = getattr(torchrecurrent, peer.layer)(inputs, hidden, **peer.options)
    x, weights = torch.randn(steps, batch, inputs), torch.randn(steps, batch, hidden)
    taken = [(seconds(theirs, x, weights), seconds(ours, x, weights)) for _ in range(turns + 1)]
    first, second = zip(*taken[1:], strict=True)  # the first turn builds and warms up
    return statistics.median(first), statistics.median(second)


def main() -> None:
    from cells.test_torchrecurrent import PEERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, help="a Markdown file of the table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = ["| cell | H | torchrecurrent, ms | ours, ms | ratio |", "|---|---:|---:|---:|---:|"]
    claims = []
    for hidden in given.hidden:
        found = {}
        for name, peer in PEERS.items():
            theirs, ours = medians(
                name, peer, hidden=hidden, steps=given.steps, batch=given.batch, turns=given.turns
            )
            found[name] = theirs / ours
            numbers = f"{1e3 * theirs:.1f} | {1e3 * ours:.1f} | {theirs / ours:.1f}"
            lines.append(f"| `{name}` | {hidden} | {numbers} |")
            print(lines[-1], flush=True)
        mean = math.exp(sum(map(math.log, found.values())) / len(found))
        least = min(found, key=found.__getitem__)
        claims.append(
            f"H = {hidden}: geometric mean {mean:.2f} of {len(found)} cells,"
            f" least {found[least]:.2f} ({least})."
        )
        print(claims[-1])
    if given.out:
        machine = ", ".join(f"{name} {value}" for name, value in describe_machine().items())
        about = f"T = {given.steps}, B = {given.batch}, I = {INPUTS}; {machine}."
        text = ["# Layers beside torchrecurrent", "", about, "", *claims, "", *lines]
        given.out.write_text("\n".join(text) + "\n", "utf-8")


if __name__ == "__main__":
    main()
