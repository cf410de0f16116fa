"""A run as `odyssey search` would leave it: 12 cells, 2 tasks, 4 members, some of them diverged."""

from __future__ import annotations

import numpy as np

from odyssey.storage import RunStore

SPECS = (
    "lstm_peephole",
    "lstm_peephole:no_input_gate",
    "lstm_peephole:no_forget_gate",
    "lstm_peephole:no_output_gate",
    "lstm_peephole:no_input_activation",
    "lstm_peephole:no_output_activation",
    "lstm_peephole:coupled_gates",
    "lstm_peephole:no_peepholes",
    "lstm_peephole:full_gate_recurrence",
    "gru",
    "elman",
    "mut1",
)
TASKS = ("arithmetic", "xml")

LSTM_TEXT = """cell lstm_peephole
input x
state h, c

i    = sigmoid(W_i @ x[t] + U_i @ h[t-1] + p_i * c[t-1] + b_i)
f    = sigmoid(W_f @ x[t] + U_f @ h[t-1] + p_f * c[t-1] + b_f)
g    = tanh(W_g @ x[t] + U_g @ h[t-1] + b_g)
c[t] = f * c[t-1] + i * g
o    = sigmoid(W_o @ x[t] + U_o @ h[t-1] + p_o * c[t] + b_o)
h[t] = o * tanh(c[t])

output h
"""
GRU_TEXT = """cell gru
input x
state h

r    = sigmoid(W_r @ x[t] + U_r @ h[t-1] + b_r)
z    = sigmoid(W_z @ x[t] + U_z @ h[t-1] + b_z)
n    = tanh(W_n @ x[t] + U_n @ (r * h[t-1]) + b_n)
h[t] = z * h[t-1] + (1 - z) * n

output h
"""
ELMAN_TEXT = """cell elman
input x
state h

h[t] = tanh(W @ x[t] + U @ h[t-1] + b)

output h
"""


def cell_text(spec):
    if spec in ("gru", "mut1"):
        return GRU_TEXT.replace("cell gru", f"cell {spec}")
    if spec == "elman":
        return ELMAN_TEXT
    name = spec.replace(":", "_")
    text = LSTM_TEXT.replace("cell lstm_peephole", f"cell {name}")
    if spec.endswith("no_forget_gate"):
        text = "\n".join(line for line in text.split("\n") if not line.startswith("f "))
        text = text.replace("f * c[t-1]", "c[t-1]")
    if spec.endswith("no_peepholes"):
        for gate in "if":
            text = text.replace(f" + p_{gate} * c[t-1]", "")
        text = text.replace(" + p_o * c[t]", "")
    return text


def fake_trial(index, spec, task, *, members=4, points=40, failed=False):
    """Makes the rows and curves of a trial."""
    rng = np.random.default_rng([7, index])
    quality = 0.25 * np.random.default_rng(SPECS.index(spec) if spec in SPECS else 99).random()
    floor = {"arithmetic": 1.55, "xml": 1.05}.get(task, 1.3) + quality
    rows, curves = [], []
    for member in range(members):
        draw = np.random.default_rng([1, member])
        rate = float(10 ** draw.uniform(-3, -0.5))
        hidden = int(draw.choice([32, 64, 100]))
        penalty = 0.35 * abs(np.log10(rate) + 1.5) + 0.15 * (hidden == 32)
        fragile = spec == "elman" or spec.endswith("no_forget_gate")
        doomed = spec.endswith("no_output_activation") and task == "xml"
        diverged = doomed or (fragile and rate > 0.08) or (member == 3 and spec == "gru")
        updates = np.linspace(0, 2000, points + 1).astype(int)[1:]
        end = points // 3 if diverged else points
        bits = floor + penalty + 3.2 * np.exp(-updates / (250 + 150 * penalty))
        bits = bits + 0.02 * rng.normal(size=points)
        nats = bits * np.log(2)
        status = "failed" if failed else "diverged" if diverged else "ok"
        best = int(np.argmin(nats))
        ok = status == "ok"
        gates = 1 if spec == "elman" else 3 if spec in ("gru", "mut1") else 4
        rows.append(
            {
                "trial_index": index,
                "group": "",
                "cell": spec.replace(":", "_"),
                "spec": spec,
                "cell_key": f"{SPECS.index(spec) if spec in SPECS else 99:064x}",
                "cell_text": cell_text(spec),
                "lineage": spec.replace(":", " > "),
                "task": task,
                "member": member,
                "seed": 1000 + member,
                "hidden_size": hidden,
                "num_layers": 1,
                "num_parameters": gates * hidden * (hidden + 40),
                "learning_rate": rate,
                "momentum": 0.9,
                "clip_norm": float(draw.choice([1, 5, 10])),
                "clip_value": float("nan"),
                "init_scale": 1.0,
                "forget_bias": 1.0 if gates == 4 else float("nan"),
                "input_noise": 0.0,
                "status": status,
                "reason": {"diverged": "loss is not finite", "failed": "out of memory"}.get(status),
                "diverged_at": int(updates[end - 1]) if diverged else None,
                "updates": int(updates[end - 1]),
                "best_update": int(updates[best]) if ok else None,
                "characters": int(updates[end - 1]) * 1000,
                "seconds": 2.5,
                "train_nats": float(nats[end - 1]) - 0.02 if ok else float("nan"),
                "valid_nats": float(nats[best]) if ok else float("nan"),
                "valid_bpc": float(bits[best]) if ok else float("nan"),
                "valid_accuracy": 0.9 - 0.2 * float(bits[best]) if ok else float("nan"),
                "test_nats": float(nats[best]) + 0.01 if ok else float("nan"),
                "test_bpc": float(bits[best]) + 0.014 if ok else float("nan"),
                "test_accuracy": 0.89 - 0.2 * float(bits[best]) if ok else float("nan"),
                "backend": "eager",
                "versions": "odyssey 0.1.0, python 3.11.9, torch 2.13.0, numpy 2.3.1",
                "commit": "0123abc+",
            }
        )
        for place in range(0 if failed else end):
            lost = diverged and place == end - 1
            curves.append(
                {
                    "trial_index": index,
                    "cell": spec.replace(":", "_"),
                    "spec": spec,
                    "task": task,
                    "member": member,
                    "update": int(updates[place]),
                    "characters": int(updates[place]) * 1000,
                    "metric": "valid_nats",
                    "value": float("nan") if lost else float(nats[place]),
                }
            )
    return rows, curves


def fake_run(path, *, specs=SPECS, tasks=TASKS, members=4, points=40, failed=()):
    """Makes a run directory."""
    store = RunStore.create(
        path,
        study='name = "variants"\ndescription = "Which parts matter? <b>&"\nseed = 1\n',
        run={
            "study": "variants",
            "description": "Which parts of the LSTM matter? <b>&",
            "trials": len(specs) * len(tasks),
            "members": len(specs) * len(tasks) * members,
            "cells": {spec: {"text": cell_text(spec), "lineage": [spec]} for spec in specs},
            "tasks": {task: {"task": task, "num_symbols": 18} for task in tasks},
            "counted": dict.fromkeys(tasks, "the answer, with its final '.'"),
            "versions": "odyssey 0.1.0, python 3.11.9, torch 2.13.0",
            "commit": "0123abc+",
            "seed": 1,
            "created": "2026-01-02 03:04:05 +0000",
            "seconds": 245.2,
        },
    )
    index = 0
    for task in tasks:
        for spec in specs:
            rows, curves = fake_trial(
                index, spec, task, members=members, points=points, failed=(task, spec) in failed
            )
            store.write(f"{index:016x}", rows, curves)
            index += 1
    return store
