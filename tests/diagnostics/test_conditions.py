"""Populations under conditions: the published table, common draws, tasks, training."""

import numpy as np
import pytest
import torch

from odyssey.diagnostics.conditions import (
    Condition,
    of_model,
    on_noise,
    on_task,
    rescale,
    task_windows,
)
from odyssey.diagnostics.gradients import back_propagate, gradient_norms
from odyssey.diagnostics.measure import (
    MeasuredTraining,
    along_training,
    join_measurements,
    measure,
    measure_decay,
)
from odyssey.errors import CellError, ConfigError, TaskError
from odyssey.specs import get_cell
from odyssey.tasks.registry import get_task
from odyssey.training.model import SequenceModel

SEEDS = range(1, 11)
# |dL/dh| so many steps back of a random gradient of length 1: 128 units, 65 inputs N(0, 1), mean of
# five seeds, measured independently of this library with NumPy
BACK = (8, 16, 32, 64, 127)
TABLE = {
    ("uniform", 0.08, "elman", None): (2.0e-3, 4.1e-6, 2.4e-11, 9.1e-22, 9.9e-42),
    ("uniform", 0.08, "lstm", 0): (2.1e-3, 3.1e-5, 1.0e-8, 1.4e-15, 4.7e-29),
    ("uniform", 0.08, "lstm", 1): (1.9e-2, 3.4e-3, 1.5e-4, 3.3e-7, 2.7e-12),
    ("uniform", 0.08, "lstm", 2): (5.5e-2, 3.5e-2, 1.7e-2, 6.3e-3, 1.3e-3),
    ("uniform", 0.08, "lstm", 5): (2.9e-2, 2.8e-2, 3.3e-2, 5.5e-2, 1.2),
    ("normal_fan", 1.0, "elman", None): (2.2e-2, 5.6e-4, 2.8e-7, 9.5e-14, 2.2e-26),
    ("normal_fan", 1.0, "lstm", 1): (3.1e-2, 6.1e-3, 2.9e-4, 7.2e-7, 5.4e-12),
}


@pytest.mark.parametrize("key", TABLE, ids=str)
def test_the_lecture_is_reproduced_within_the_bands(key):
    init, scale, spec, bias = key
    condition = Condition(init=init, init_scale=scale, forget_bias=bias)
    subject = on_noise(get_cell(spec), condition, SEEDS)
    frame = gradient_norms(back_propagate(subject.trajectory, subject.injected))
    norms = frame[frame.state == "h"].pivot(index="steps_back", columns="member", values="norm")
    for back, expected in zip(BACK, TABLE[key], strict=True):
        low, high = np.quantile(norms.loc[back], (0.05, 0.95))
        # the table is a mean, dominated by the largest of its five seeds
        assert low / 1.3 < expected < 1.3 * high, (back, low, high)


def test_members_do_not_depend_on_each_other_and_cells_share_their_draws():
    condition = Condition(hidden_size=8, steps=5, inputs=3)
    many = on_noise(get_cell("gru"), condition, [3, 1, 2])
    one = on_noise(get_cell("gru"), condition, [2])
    torch.testing.assert_close(many.x[2], one.x[0], rtol=0, atol=0)
    for a, b in zip(many.trajectory.states[-1], one.trajectory.states[-1], strict=True):
        torch.testing.assert_close(a[2], b[0], rtol=0, atol=1e-15)
    other = on_noise(get_cell("lstm"), condition, [2])
    torch.testing.assert_close(other.x, one.x, rtol=0, atol=0)
    torch.testing.assert_close(other.injected, one.injected, rtol=0, atol=0)


def test_a_spectral_radius_holds_for_recurrent_matrices_alone():
    condition = Condition(hidden_size=8, steps=2, inputs=3, spectral_radius=0.7)
    free = Condition(hidden_size=8, steps=2, inputs=3)
    scaled, drawn = (on_noise(get_cell("lstm"), c, [1, 2]).rnn for c in (condition, free))
    for name, value in scaled.layer_parameters()[0].items():
        if name.startswith("U"):
            radius = torch.linalg.eigvals(value.detach()).abs().amax(-1)
            np.testing.assert_allclose(radius, 0.7, atol=1e-12)
        else:
            torch.testing.assert_close(value, drawn.layer_parameters()[0][name])
    rescale(drawn, None)


def test_windows_end_where_the_task_counts():
    task = get_task("memorization@length=3,symbols=5")
    windows = task_windows(task, steps=20, rows=4)
    assert windows.inputs_TB.shape == (20, 4)
    batch = next(iter(task.held_out("valid", batch_size=4, unroll=4 * 20 + 64)))
    for row in range(4):
        where = [
            t
            for t in range(19, len(batch.inputs_TB))
            if np.array_equal(batch.inputs_TB[t - 19 : t + 1, row], windows.inputs_TB[:, row])
            and batch.targets_TB[t, row] == windows.targets_B[row]
        ]
        assert any(batch.weights_TB[t, row] for t in where)


@pytest.mark.parametrize("spec", ["lstm", "mut1"])
def test_on_a_task_the_gradient_is_that_of_the_loss(spec):
    task = get_task("xml")
    condition = Condition(hidden_size=6, steps=7, rows=2)
    model = SequenceModel(get_cell(spec), task.signature, [6], 1, dtype=torch.float64)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.3)
    windows = task_windows(task, steps=7, rows=2)
    subject = of_model(model, windows)
    start = tuple(s.requires_grad_() for s in model.rnn.start_state(2))
    logits, _ = model(torch.as_tensor(windows.inputs_TB)[None], start)
    loss = torch.nn.functional.cross_entropy(
        logits[0, -1], torch.as_tensor(windows.targets_B), reduction="none"
    )
    grads = torch.autograd.grad(loss.sum(), start)
    truth = torch.stack([g[0, 0].square().sum(-1) for g in grads]).sum(0).sqrt()
    h = subject.trajectory.outputs[-1].detach().requires_grad_()
    again = torch.nn.functional.cross_entropy(
        (h[0] @ model.readout[0].T + model.readout_bias[0]),
        torch.as_tensor(windows.targets_B),
        reduction="none",
    )
    scale = torch.autograd.grad(again.sum(), h)[0][0].norm(dim=-1)
    frame = gradient_norms(back_propagate(subject.trajectory, subject.injected))
    mine = frame[(frame.state == "all") & (frame.steps_back == 7)].set_index("row").norm
    for row in range(2):
        assert mine[row] == pytest.approx(float(truth[row] / scale[row]), rel=1e-10)
    at_start = on_task(get_cell(spec), task, condition, [1, 2])
    np.testing.assert_allclose(at_start.injected.norm(dim=-1), 1.0, atol=1e-12)


def test_measurements_are_complete_and_carry_labels():
    condition = Condition(hidden_size=6, steps=8, inputs=3)
    cells = ("elman", "lstm")
    parts = [
        measure(on_noise(get_cell(s), condition, [1, 2], name=s)).labelled(label=s) for s in cells
    ]
    frames = join_measurements(parts).frames()
    assert set(frames) == {
        *("norms", "horizons", "exponents", "spectra", "paths", "slices", "predicted")
    }
    for name, frame in frames.items():
        assert set(frame["label"]) == set(cells), name
        assert (frame["name"] == frame["label"]).all()
    brief = measure_decay(on_noise(get_cell("gru"), condition, [1])).frames()
    assert set(brief) == {"norms", "horizons", "exponents"}
    deep = measure(on_noise(get_cell("gru"), Condition(6, 2, 8, inputs=3), [1]))
    assert "predicted" not in deep.frames()


def test_along_training_the_model_is_the_one_that_is_trained():
    condition = Condition(hidden_size=12, steps=20, rows=2, init_scale=0.3)
    task = get_task("memorization")
    found, results = along_training(
        get_cell("elman"),
        task,
        condition,
        [1, 2],
        training=MeasuredTraining(
            updates=20,
            every=10,
            options={"optimizer": "adam", "dtype": "float64"},
            hyperparameters={"learning_rate": 0.01},
        ),
    )
    assert [r.status for r in results] == ["ok", "ok"]
    assert sorted(set(found.norms["update"])) == [0, 10, 20]
    start = on_task(get_cell("elman"), task, condition, [1, 2])
    norms = gradient_norms(back_propagate(start.trajectory, start.injected))
    first = found.norms[found.norms["update"] == 0].reset_index(drop=True)
    np.testing.assert_allclose(first["norm"], norms["norm"], rtol=1e-10)
    last = found.norms[found.norms["update"] == 20].reset_index(drop=True)
    assert not np.allclose(last["norm"], norms["norm"], rtol=0.01)
    assert set(found.predicted["update"]) == {0}


def test_members_that_diverge_leave():
    found, results = along_training(
        get_cell("elman_relu"),
        get_task("xml"),
        Condition(hidden_size=8, steps=10, rows=2, init_scale=0.5),
        [1, 2],
        training=MeasuredTraining(
            updates=20,
            every=10,
            options={"optimizer": "sgd", "diverged_factor": 1.5},
            hyperparameters={"learning_rate": 1e4},
        ),
    )
    assert {r.status for r in results} == {"diverged"}
    assert set(found.norms["update"]) == {0}


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Condition(steps=0), ConfigError, "steps must be an integer of at least 1"),
        (lambda: Condition(hidden_size=True), ConfigError, "hidden_size"),
        (lambda: Condition(init="zeros"), ConfigError, "no initial distribution"),
        (lambda: Condition(spectral_radius=-1.0), ConfigError, "must not be negative"),
        (lambda: Condition(forget_bias=float("nan")), ConfigError, "must be a number"),
        (
            lambda: on_noise(get_cell("gru"), Condition(4, forget_bias=1.0), [1]),
            CellError,
            "no equation called 'f'",
        ),
        (
            lambda: task_windows(get_task("memorization"), steps=10**5, rows=1),
            TaskError,
            "no counted symbol after 100000 steps",
        ),
        (
            lambda: along_training(
                get_cell("gru"),
                get_task("xml"),
                Condition(4),
                [1],
                training=MeasuredTraining(updates=3, every=4),
            ),
            ConfigError,
            "every 1 to 3 updates",
        ),
        (
            lambda: along_training(
                get_cell("gru"),
                get_task("xml"),
                Condition(4, spectral_radius=1.0),
                [1],
                training=MeasuredTraining(updates=3, every=1),
            ),
            ConfigError,
            "leave the spectral radius out",
        ),
    ],
)
def test_nonsense_gets_one_line(call, error, says):
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
