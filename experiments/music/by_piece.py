"""Measures kept models of music on test pieces: mean over all frames, and mean over pieces.

Usage: python experiments/music/by_piece.py RUN OUT.csv

RUN must have kept its weights.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

import odyssey


def by_piece(run: odyssey.Run) -> pd.DataFrame:
    """Gives a row a cell: columns spec, pieces, frames, and nats a frame as both means."""
    rows = []
    for spec in run.results["spec"].unique():
        trained = run.model(cell=spec)
        nats, frames = [], []
        for piece in trained.task.examples("test"):
            y, _ = trained(np.asarray(piece.inputs_T, dtype=np.float32)[:, None])
            targets = torch.as_tensor(np.asarray(piece.targets_T, dtype=np.float32))[:, None]
            loss = binary_cross_entropy_with_logits(y, targets, reduction="none").sum(-1)
            nats.append(float(loss.double().sum()))
            frames.append(len(loss))
        total, count = np.array(nats), np.array(frames)
        rows.append(
            {
                "spec": spec,
                "pieces": len(count),
                "frames": count.sum(),
                "mean_over_frames": total.sum() / count.sum(),
                "mean_over_pieces": (total / count).mean(),
            }
        )
    return pd.DataFrame(rows)


def main(run: str, out: Path) -> None:
    """Writes the table."""
    out.parent.mkdir(parents=True, exist_ok=True)
    by_piece(odyssey.Run(run)).to_csv(out, index=False, float_format="%.4f", lineterminator="\n")
    print(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/music/by_piece.py RUN OUT.csv")
    main(sys.argv[1], Path(sys.argv[2]))
