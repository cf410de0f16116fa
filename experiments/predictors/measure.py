"""Measures what is known of every cell before it is trained: its graph, and an untrained layer.

Usage: python experiments/predictors/measure.py WORK [PROCESSES]

WORK gets a Parquet file a cell, with a row a member; what is there is not measured again. Members
have the seeds, sizes and initial weights with which `study.toml` trains them.

Shapes: P members, T steps, B rows, N numbers of a whole state.
"""

import functools
import sys
import time
from collections.abc import Iterator
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from odyssey.diagnostics.conditions import Subject, Windows, of_model, task_windows
from odyssey.diagnostics.gradients import back_propagate, gradient_norms, horizons
from odyssey.diagnostics.meanfield import predicted_norms
from odyssey.diagnostics.recurrence import join
from odyssey.diagnostics.spectra import jacobian_spectra, lyapunov_exponents
from odyssey.errors import ConfigError
from odyssey.expr import Cell, parse_cell
from odyssey.hyperparameters import Member
from odyssey.names import file_name
from odyssey.specs import named_cells
from odyssey.studies.study import Study
from odyssey.studies.trial import Trial
from odyssey.tasks.base import Task
from odyssey.tasks.registry import get_task
from odyssey.training.model import SequenceModel, hidden_size_for
from odyssey.training.seeds import stream
from odyssey.transforms.constraints import flops, is_bounded
from odyssey.transforms.features import FEATURES
from odyssey.wording import duration

FOLDER = Path(__file__).parent
STEPS, ROWS = 64, 4
BACK = 32  # steps of decay, of gradients and in the theory
BATCHES, STREAMS, UNROLL = 8, 16, 64  # of the gradient noise
ISOMETRIC = 0.9  # least singular value of a direction that a step keeps


def backward(subject: Subject) -> pd.DataFrame:
    """Measures gradients through time, and Jacobians; a row a member."""
    trajectory = subject.trajectory
    norms = gradient_norms(back_propagate(trajectory, subject.injected))
    whole = norms[norms["state"] == "all"]
    far = horizons(whole).groupby(["member", "factor"])["steps"].median().unstack()
    found = far.add_prefix("horizon ").clip(upper=STEPS)
    table = whole.pivot_table(index="member", columns="steps_back", values="log10_norm")
    found["decades_lost"] = (table[1] - table[1 + BACK]).replace(np.inf, np.nan)
    rng = stream(1, "predictors", "frame")
    exponents = lyapunov_exponents(trajectory, count=1, warm_up=STEPS // 4, rng=rng)
    found["exponent"] = exponents.groupby("member")["exponent"].mean()
    spectra = jacobian_spectra(trajectory, [STEPS // 2])
    of_member = spectra.groupby("member")
    found["largest_singular_value"] = of_member["singular_value"].max()
    found["mean_square_singular_value"] = of_member["singular_value"].agg(lambda s: (s**2).mean())
    found["kept_directions"] = of_member["singular_value"].agg(lambda s: (s > ISOMETRIC).mean())
    radius = np.hypot(spectra["real"], spectra["imaginary"])
    found["spectral_radius"] = radius.groupby(spectra["member"]).max()
    return found


def forward(mixed: Subject) -> pd.DataFrame:
    """Measures how signals travel forward; a row a member.

    Rows read texts of their own for half of the steps and then one text. How fast their states come
    together is the memory of the layer (the depth scale of correlations, Schoenholz et al. 2017).
    """
    states_TPBN = torch.stack([join(state) for state in mixed.trajectory.states])
    center = states_TPBN.mean(2, keepdim=True)
    apart_TP = (states_TPBN - center).square().sum((2, 3)).sqrt()
    power_TP = states_TPBN.square().mean((2, 3))
    half = STEPS // 2
    log = torch.log10(apart_TP[half:]).numpy()
    frames = [
        pd.DataFrame({"member": p, "steps_back": np.arange(len(log)), "log10_norm": log[:, p]})
        for p in range(log.shape[1])
    ]
    memory = horizons(pd.concat(frames), factors={"10x": 10.0})
    found = pd.DataFrame({"memory": memory.groupby("member")["steps"].first().clip(upper=half)})
    found["decades_forgotten"] = log[0] - log[-1]
    found["state_growth"] = torch.log10(power_TP[half] / power_TP[1]).numpy()
    spread_P = (states_TPBN - center)[half].square().mean((1, 2)) / power_TP[half]
    found["state_spread"] = torch.log10(spread_P).numpy()
    return found.replace([np.inf, -np.inf], np.nan)


def predicted(subject: Subject) -> float:
    """Gives the decades that mean-field theory says a gradient loses; NaN where it says nothing."""
    rng = stream(1, "predictors", "theory")
    try:
        norms = predicted_norms(subject.rnn, BACK, rng=rng, input_power=subject.input_power)
    except ConfigError:
        return np.nan
    frozen = norms[(norms["weights"] == "frozen") & (norms["state"] == "all")]
    log = frozen.set_index("steps_back")["log10_norm"]
    return float(log[1] - log[BACK])


def gradient_noise(model: SequenceModel, task: Task) -> pd.DataFrame:
    """Measures size and noise of the gradient over batches of held-out text; a row a member.

    `noise` is the trace of the covariance over batches as a share of the squared mean, both without
    bias (the simple noise scale of McCandlish et al. 2018, in batches).
    """
    text = task.held_out("valid", batch_size=STREAMS, unroll=UNROLL)
    members, gradients = len(model.readout), []
    for batch in islice(text, BATCHES):
        both = (torch.as_tensor(a) for a in (batch.inputs_TB, batch.targets_TB))
        x, y = (a.expand(members, -1, -1) for a in both)
        logits, _ = model(x, None)
        loss = functional.cross_entropy(logits.flatten(0, 2), y.flatten(), reduction="sum")
        model.zero_grad()
        (loss / y[0].numel()).backward()
        used = [p.grad.flatten(1) for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat(used, 1).double())
    each_KPN = torch.stack(gradients)
    count = len(each_KPN)
    squares_P = each_KPN.square().sum(-1).mean(0)
    mean_P = (count * each_KPN.mean(0).square().sum(-1) - squares_P) / (count - 1)
    noise_P = (squares_P - mean_P) / mean_P.clamp(min=1e-300)
    sizes = {"gradient_norm": 0.5 * torch.log10(mean_P.clamp(min=1e-300)), "noise": noise_P.log10()}
    return pd.DataFrame({name: values.numpy() for name, values in sizes.items()})


def mixed_windows(windows: Windows) -> Windows:
    """Gives windows whose second half is that of the first row."""
    inputs_TB = windows.inputs_TB.copy()
    inputs_TB[STEPS // 2 :] = inputs_TB[STEPS // 2 :, :1]
    return Windows(inputs_TB, windows.targets_B)


def measured(trial: Trial, task: Task) -> pd.DataFrame:
    """Measures one cell; gives a row a member."""
    cell, hidden, _ = sized(trial, task)

    def model(dtype: torch.dtype) -> SequenceModel:
        made = SequenceModel(
            cell, task.signature, [hidden] * len(trial.members), 1, backend="eager", dtype=dtype
        )
        for place, member in enumerate(trial.members):
            made.initialise(place, Member(**member), trial.training["init"])
        return made

    windows = task_windows(task, steps=STEPS, rows=ROWS)
    exact = model(torch.float64)
    subject = of_model(exact, windows)
    found = backward(subject).join(forward(of_model(exact, mixed_windows(windows))))
    found = found.join(gradient_noise(model(torch.float32), task))
    found["predicted_decades_lost"] = predicted(subject)
    found = found.assign(**graph(cell, hidden, task))
    return found.rename_axis("member").reset_index().assign(cell=trial.spec)


def sized(trial: Trial, task: Task) -> tuple[Cell, int, Task]:
    """Gives the cell, the units that it has at the study's number of parameters, and the task."""
    cell, parameters = parse_cell(trial.cell_text), int(trial.members[0]["parameters"])
    hidden = hidden_size_for(cell, parameters, signature=task.signature, num_layers=1)
    return cell, hidden, task


def graph(cell: Cell, hidden: int, task: Task) -> dict[str, float]:
    """Gives what the graph of a cell says, and its size at the study's number of parameters."""
    facts = {name: float(row.of(cell)) for name, row in FEATURES.items()}
    facts |= {"bounded": float(is_bounded(cell)), "units": float(hidden)}
    return facts | {"operations": float(flops(cell, task.signature.inputs.size, hidden))}


def measure_into(work: Path, trial: Trial) -> str:
    """Measures one cell, writes its file, and names it; a cell that cannot be measured says why."""
    torch.set_num_threads(1)
    try:
        frame = measured(trial, get_task(trial.task))
    except (ConfigError, FloatingPointError) as error:
        facts = {"cell": trial.spec, "member": 0, "reason": str(error)[:200]}
        frame = pd.DataFrame([facts | graph(*sized(trial, get_task(trial.task)))])
    target = file_of(work, trial)
    draft = target.with_suffix(".tmp")
    frame.to_parquet(draft, index=False)
    draft.replace(target)
    return trial.spec


def file_of(work: Path, trial: Trial) -> Path:
    """Names the file of a cell; trials with other equations or seeds have others."""
    return work / f"{file_name(trial.spec)}-{trial.id}.parquet"


def left(work: Path) -> Iterator[Trial]:
    """Lists the cells of the study that are not measured yet."""
    study = Study.read(FOLDER / "study.toml")
    for trial in study.trials(named_cells(study.cells)):
        if not file_of(work, trial).exists():
            yield trial


def main(work: Path, processes: int) -> None:
    """Measures what is not measured yet."""
    work.mkdir(parents=True, exist_ok=True)
    trials = list(left(work))
    began = time.monotonic()
    with get_context("spawn").Pool(processes) as pool:
        one = functools.partial(measure_into, work)
        for count, name in enumerate(pool.imap_unordered(one, trials), 1):
            remaining = (time.monotonic() - began) / count * (len(trials) - count)
            print(f"[{count}/{len(trials)}] {name}, {duration(remaining)} left", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python experiments/predictors/measure.py WORK [PROCESSES]")
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 1)
