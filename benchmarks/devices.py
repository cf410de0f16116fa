"""Measures populations on a device beside torch.nn.LSTM one by one, and the rate of a study.

    python benchmarks/devices.py --device cuda     the table of docs/devices.md
    python benchmarks/devices.py --device cpu --quick     that it runs

Both sides of a row make the same updates in the same process, interleaved: an LSTM of so many
units with a readout, cross-entropy, clipping by norm and Adam, from class indices. On one side is a
population of Odyssey, on the other as many models of torch.nn (cuDNN on CUDA), one after the other.
The study's rate is that of `experiments/odyssey_2015` in small: models a minute, and how long its
5,400 would take.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from odyssey.errors import OdysseyError
from odyssey.hyperparameters import Member
from odyssey.specs import get_cell
from odyssey.tasks.registry import get_task
from odyssey.training.config import TrainingConfig
from odyssey.training.devices import find_device, full_precision, processor_of
from odyssey.training.group import Group
from odyssey.training.loop import train
from odyssey.wording import duration

MODELS = 5_400  # of the study
POPULATIONS = (1, 16, 132)


@dataclass(frozen=True)
class Sizes:
    """What is measured."""

    populations: tuple[int, ...] = POPULATIONS
    hidden: int = 128
    steps: int = 50
    batch: int = 50
    updates: int = 20  # of a round
    rounds: int = 5
    epochs: int = 4  # of a model of the study

    @property
    def training(self) -> TrainingConfig:
        return TrainingConfig(
            batch_size=self.batch, unroll=self.steps, optimizer="adam", updates_per_epoch=10**6
        )


QUICK = Sizes((1, 2), hidden=8, steps=5, batch=4, updates=2, rounds=2, epochs=1)


class OneByOne:
    """Models of torch.nn, trained one after the other on the batches of the population."""

    def __init__(self, count: int, sizes: Sizes, symbols: int, device: torch.device) -> None:
        self.symbols, self.device = symbols, device
        self.models = [
            nn.ModuleList([nn.LSTM(symbols, sizes.hidden), nn.Linear(sizes.hidden, symbols)]).to(
                device
            )
            for _ in range(count)
        ]
        self.optimizers = [torch.optim.Adam(m.parameters(), lr=0.002) for m in self.models]
        self.states: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * count

    def update(self, x_TB: torch.Tensor, target_TB: torch.Tensor) -> None:
        for k, (model, optimizer) in enumerate(zip(self.models, self.optimizers, strict=True)):
            lstm, readout = model
            x = nn.functional.one_hot(x_TB, self.symbols).float()
            h, state = lstm(x, self.states[k])
            self.states[k] = (state[0].detach(), state[1].detach())
            loss = nn.functional.cross_entropy(readout(h).flatten(0, 1), target_TB.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def seconds(run: Callable[[], object], device: torch.device) -> float:
    start = clock(device)
    run()
    return clock(device) - start


def row_of(count: int, sizes: Sizes, name: str) -> dict[str, object]:
    """Times a population beside models one by one, and beside updates that are not captured."""
    device = find_device(name)
    task = get_task("xml")
    members = [Member(k, k, hidden_size=sizes.hidden, clip_norm=1.0) for k in range(count)]
    config = replace(sizes.training, device=name, backend="auto" if name == "cpu" else "eager")
    ours = Group(get_cell("lstm"), task, members, config)
    theirs = OneByOne(count, sizes, task.num_symbols, device)
    x = torch.randint(task.num_symbols, (sizes.steps, sizes.batch), device=device)

    def one_by_one() -> None:
        for _ in range(sizes.updates):
            theirs.update(x, x)

    def population(group: Group) -> None:
        left = sizes.updates
        while left:
            left -= len(list(group._advance(left)))

    sides = {"population": lambda: population(ours), "one by one": one_by_one}
    if ours.update.captured is not None:
        plain = Group(get_cell("lstm"), task, members, config)
        plain.update.captured = None
        sides["not captured"] = lambda: population(plain)
    for side in sides.values():  # compiles, captures
        side()
        side()
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(sizes.rounds):
        for side, run in sides.items():
            times[side].append(seconds(run, device) / sizes.updates)
    found = {side: 1e3 * statistics.median(values) for side, values in times.items()}
    return {"members": count, **found, "ratio": found["one by one"] / found["population"]}


def study_rate(sizes: Sizes, name: str) -> float:
    """Gives models a minute: populations of a study, trained to the end with their scores."""
    device = find_device(name)
    count = max(sizes.populations)
    config = replace(sizes.training, epochs=sizes.epochs, updates_per_epoch=10, device=name)
    members = [
        Member(k, k, hidden_size=max(2, sizes.hidden // 2 + k % 5), learning_rate=0.01)
        for k in range(count)
    ]
    task = get_task("xml")
    train(get_cell("lstm"), task, members[:1], replace(config, epochs=1))
    spent = seconds(lambda: train(get_cell("lstm"), task, members, config), device)
    return 60 * count / spent


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps or cpu (cuda)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    sizes = QUICK if args.quick else Sizes()
    try:
        device = find_device(args.device)
    except OdysseyError as error:
        raise SystemExit(f"error: {error}") from None
    where = f"{args.device} {processor_of(device)}".strip()
    print(
        f"{where}, torch {torch.__version__}: LSTM, H = {sizes.hidden}, T = {sizes.steps},"
        f" B = {sizes.batch}, float32, Adam, clipping by norm; ms an update of all members, medians"
        f" of {sizes.rounds} interleaved rounds of {sizes.updates} updates\n"
    )
    print("| members | population | not captured | torch.nn.LSTM one by one | ratio |")
    print("|---|---|---|---|---|")
    with full_precision(device):
        for count in sizes.populations:
            row = row_of(count, sizes, args.device)
            shown = ("population", "not captured", "one by one", "ratio")
            cells = [f"{row[n]:.2f}" if n in row else "-" for n in shown]
            print(f"| {count} | {' | '.join(cells)} |", flush=True)
        rate = study_rate(sizes, args.device)
    print(
        f"\na study in populations of {max(sizes.populations)}, {sizes.epochs * 10} updates a"
        f" model: {rate:.0f} models a minute, {MODELS:,} in {duration(60 * MODELS / rate)}"
    )


if __name__ == "__main__":
    main()
