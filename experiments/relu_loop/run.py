"""The ReLU loop of CS231n, lecture 10, four thousand times: when does its gradient explode?

Usage: python experiments/relu_loop/run.py [OUT]
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

import odyssey
from odyssey.diagnostics.gradients import back_propagate, gradient_norms
from odyssey.diagnostics.recurrence import trace
from odyssey.diagnostics.spectra import jacobian
from odyssey.report.page.style import ACCENT, FAINT, INK, save_figure

SEEDS, STEPS, UNITS, CLIP = 4000, 50, 5, 5.0
HERE = Path(__file__).parent


def measure() -> pd.DataFrame:
    """Gives a row a seed: spectral radii, the gradient at the first step, the gradient of U."""
    rng = np.random.default_rng(1)
    cell = odyssey.get_cell(str(HERE / "relu_loop.cell"))
    loop = odyssey.RNN(cell, 1, UNITS, population=SEEDS, dtype=torch.float64, backend="eager")
    loop.reset_parameters(rng=rng)
    x = torch.zeros(SEEDS, STEPS, 1, 1, dtype=torch.float64)  # there is no input
    start = torch.as_tensor(rng.normal(size=(SEEDS, 1, 1, UNITS)))
    g = torch.as_tensor(rng.normal(size=(SEEDS, 1, UNITS)))

    trajectory = trace(loop, x, start=(start,))
    norms = gradient_norms(back_propagate(trajectory, g))
    log = norms[norms.state == "h"].pivot(index="member", columns="steps_back", values="log10_norm")
    product = torch.eye(UNITS, dtype=torch.float64).expand(SEEDS, UNITS, UNITS)
    for t in range(STEPS):
        product = jacobian(trajectory, t)[:, 0] @ product

    output, _ = loop(x, (start,))
    (output[:, -1] * g).sum().backward()  # one loss; members share nothing
    size = loop.layer_parameters()[0]["U"].grad.flatten(1).norm(dim=1)
    u = loop.layer_parameters()[0]["U"].detach()
    return pd.DataFrame(
        {
            "radius": torch.linalg.eigvals(u).abs().amax(-1).numpy(),
            "radius_of_product": torch.linalg.eigvals(product).abs().amax(-1).numpy(),
            "log10_first": log[STEPS].to_numpy(),
            "decades_a_step": ((log[STEPS] - log[0]) / STEPS).to_numpy(),
            "gradient_of_u": size.numpy(),
            "gradient_of_u_clipped": size.clamp(max=CLIP).numpy(),  # what clipping by norm leaves
        }
    )


def draw(frame: pd.DataFrame) -> Figure:
    """Growth of the gradient against the two spectral radii."""
    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    with np.errstate(divide="ignore"):
        columns = {
            "spectral radius of U": np.log10(frame["radius"]),
            "radius of the masked product, per step": np.log10(frame["radius_of_product"]) / STEPS,
        }
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, (name, x) in zip((left, right), columns.items(), strict=True):
        ax.plot([-0.6, 0.8], [-0.6, 0.8], color=FAINT, linewidth=1.0, zorder=1)
        ax.plot(x, frame["decades_a_step"], "o", color=ACCENT, ms=2.5, alpha=0.4, mew=0)
        ax.axhline(0, color=INK, linewidth=0.6)
        ax.axvline(0, color=INK, linewidth=0.6)
        ax.set(xlim=(-0.5, 0.75), ylim=(-0.75, 0.75), xlabel=f"log10 of the {name}")
        ax.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("growth of the gradient, decades a step")
    left.annotate("radius above 1, yet it vanishes", (0.73, -0.7), fontsize=8, ha="right")
    return figure


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """What became of the gradient at the first step, for U as drawn and its update clipped."""
    exact = frame["log10_first"] == -np.inf
    above = frame["radius"] > 1
    grown = frame["log10_first"] > 0
    cases = {
        "gradient above 1e3": frame["log10_first"] > 3,
        "gradient below 1e-3": frame["log10_first"] < -3,
        "gradient exactly 0": exact,
        "spectral radius of U above 1": above,
        "of these the gradient shrinks": (above & ~grown)[above],
        "masked product's radius above 1": frame["radius_of_product"] > 1,
        "gradient of U above 1e3, not clipped": frame["gradient_of_u"] > 1e3,
        f"gradient of U above 1e3, clipped at {CLIP:g}": frame["gradient_of_u_clipped"] > 1e3,
    }
    return pd.DataFrame({"case": list(cases), "share": [float(v.mean()) for v in cases.values()]})


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/results/relu_loop")
    out.mkdir(parents=True, exist_ok=True)
    measured = measure()
    save_figure(draw(measured), out / "relu_loop", data=measured.round(4))
    table(measured).to_csv(out / "shares.csv", index=False, float_format="%.3f")
    print(f"mean spectral radius {measured['radius'].mean():.2f}")
    print(table(measured).to_string(index=False, float_format="{:.1%}".format))
