"""Tasks feed cells by name: what a model hands over, and training with it on every backend."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import ConfigError
from odyssey.hyperparameters import Member
from odyssey.tasks import get_task
from odyssey.tasks.signature import (
    ATTENTION,
    EVERY,
    FIRST,
    REALS,
    Condition,
    Part,
    Signature,
    Values,
)
from odyssey.training.config import TrainingConfig
from odyssey.training.loop import train
from odyssey.training.model import SequenceModel, count_parameters
from odyssey.training.sizes import check_reading, reading
from odyssey.training.step import BackendRecurrence, TorchRecurrence, make_recurrence

SIGNATURE = Signature(
    Values(REALS, 8),  # three values, a gap, a mask of two, two clocks
    Values(REALS, 2),
    parts=(Part("gap", 1, "time"), Part("mask", 2), Part("clocks", 2, "time")),
)


def cell(*further, square=False):
    """A cell that maps each of its further inputs."""
    names = [line.partition(" : ")[0] for line in further]
    maps = " + ".join(["W @ x[t]", "U @ h[t-1]", *(f"V_{n} @ {n}[t]" for n in names)])
    bare = " + x[t]" if square else ""
    lines = ["cell own", "input x", *(f"input {line}" for line in further), "state h"]
    return odyssey.parse_cell("\n".join([*lines, f"h[t] = tanh({maps}){bare}", "output h", ""]))


@pytest.mark.parametrize(
    ("further", "main", "order"),
    [
        ((), 8, None),
        (("mask : 2",), 6, (0, 1, 2, 3, 6, 7, 4, 5)),
        (("gap : 1",), 5, (0, 1, 2, 4, 5, 3)),  # the clocks tell what the gap does
        (("clocks : 2",), 5, (0, 1, 2, 4, 5, 6, 7)),
        (("clocks : 2", "mask : 2"), 3, (0, 1, 2, 6, 7, 4, 5)),
        (("gap : 1", "mask : 2", "clocks : 2"), 3, None),
    ],
)
def test_what_is_not_read_by_name_is_in_x(further, main, order):
    found = reading(cell(*further), SIGNATURE)
    assert (found.main, found.order) == (main, order)


@pytest.mark.parametrize(
    ("own", "signature", "reason"),
    [
        (
            cell("speed : 1"),
            SIGNATURE,
            r"reads an input speed, .* \(fed by name: gap, mask, clocks",
        ),
        (cell("gap : 1"), Signature.symbols(5), r"does not feed \(fed by name: none\)"),
        (cell("mask : 3"), SIGNATURE, "its input mask has 3 numbers, the task feeds 2"),
        (cell("mask : I"), SIGNATURE, "its input mask has 6 numbers, the task feeds 2"),
        (
            odyssey.parse_cell(
                "cell own\ninput x\nsize M = 5\ninput mask : M\nstate h\n"
                "h[t] = tanh(W @ x[t] + V @ mask[t] + U @ h[t-1])\noutput h\n"
            ),
            SIGNATURE,
            "the task feeds 2: write own:M=2",
        ),
        (
            cell("all : 2"),
            Signature(Values(REALS, 2), Values(REALS, 1), parts=(Part("all", 2),)),
            "nothing is left for x",
        ),
        (
            cell("context : 64"),
            dataclasses.replace(Signature.symbols(5), condition=Condition((3, 3, 1), FIRST)),
            "reads an input context, which the task does not feed",
        ),
    ],
)
def test_refusals(own, signature, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        SequenceModel(own, signature, [4], 1)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=reason):
        count_parameters(own, signature=signature, hidden_size=4, num_layers=1)


def test_a_study_is_refused_before_it_begins():
    gru_d, lstm = odyssey.get_cell("gru_d"), odyssey.get_cell("lstm")
    tasks = [get_task("irregular")]
    check_reading({"gru_d": gru_d, "lstm": lstm}, tasks, [{"num_layers": 1}])
    with pytest.raises(ConfigError, match="use num_layers=1"):
        check_reading({"gru_d": gru_d}, tasks, [{"num_layers": 1}, {"num_layers": 2}])
    with pytest.raises(ConfigError, match="copy: gru_d reads an input mask"):
        check_reading({"lstm": lstm, "gru_d": gru_d}, [*tasks, get_task("copy")], [{}])


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_calls_its_layers_by_name(backend, square):
    own = cell("mask : 2", "gap : 1", square=square)
    model = SequenceModel(own, SIGNATURE, [6, 6], 2, backend=backend, dtype=torch.float64)
    for k in range(2):
        model.initialise(k, Member(k, 3 + k, hidden_size=6, num_layers=2), "uniform")
    x = torch.randn(2, 5, 3, 8, dtype=torch.float64)
    main, gap, mask, _ = torch.split(x, [3, 1, 2, 2], -1)
    if square:
        main = torch.einsum("ptbi,phi->ptbh", main, model.embedding)
    expected, final = model.rnn(main, None, {"gap": gap, "mask": mask})
    h, state = model.hidden(x, None)
    torch.testing.assert_close(h, expected)
    torch.testing.assert_close(state, final)
    counted = count_parameters(own, signature=SIGNATURE, hidden_size=6, num_layers=2)
    assert counted == sum(p[0].numel() for p in model.parameters())


@pytest.mark.parametrize("way", [EVERY, ATTENTION])
@pytest.mark.parametrize("spec", ["context_gru", "context_lstm", "gru"])
def test_a_condition_is_read_by_name_or_within_x(spec, way):
    """The same numbers meet the same weights, wherever a cell reads them."""
    signature = dataclasses.replace(Signature.symbols(5), condition=Condition((8, 8, 1), way))
    model = SequenceModel(odyssey.get_cell(spec), signature, [6], 1, dtype=torch.float64)
    model.initialise(0, Member(0, 1, hidden_size=6), "uniform")
    seen = []
    model.rnn.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x = torch.randint(5, (1, 4, 2))
    memory = model.encode(torch.rand(1, 2, 8, 8, 1, dtype=torch.float64))
    y, _ = model(x, None, memory)
    assert y.shape == (1, 4, 2, 5)
    assert torch.cat(seen, 1).shape == (1, 4, 2, 5 + 64)
    width = model.rnn.input_size
    assert width == (5 if spec != "gru" else 5 + 64)
    assert model.rnn.further_sizes == ({} if spec == "gru" else {"context": 64})


def outcome(spec, backend, sizes, only=None, **more):
    """Losses of every member after every epoch, (P, 2 * epochs)."""
    config = TrainingConfig(
        epochs=2, updates_per_epoch=4, batch_size=5, backend=backend, dtype="float64"
    )
    members = [Member(k, 7 + k, hidden_size=size, **more) for k, size in enumerate(sizes)]
    seen = []
    train(
        odyssey.get_cell(spec),
        get_task("irregular@length=9,signals=2"),
        members if only is None else [members[only]],
        config,
        progress=lambda epoch: seen.append([epoch.train_nats, epoch.valid_nats]),
    )
    return np.concatenate(seen).T


TIMED = ["gru_d", "time_aware_lstm", "phased_lstm", "cfc_irregular", "ode_rnn"]


@pytest.mark.parametrize("spec", TIMED)
def test_backends_train_alike_and_members_alone(spec):
    sizes = (7, 6)
    native = outcome(spec, "native", sizes)
    assert np.isfinite(native).all()
    np.testing.assert_allclose(native, outcome(spec, "eager", sizes), rtol=1e-8)
    for k in range(2):
        alone = outcome(spec, "native", sizes, only=k)
        np.testing.assert_allclose(native[k], alone[0], rtol=1e-9)


@pytest.mark.parametrize("spec", [s for s in TIMED if s != "phased_lstm"])  # which has an exp(-w)
def test_native_code_trains_without_autograd(spec):
    """Gradients of a segment equal those of autograd, also where one follows another."""
    task = get_task("irregular@length=9,signals=2")
    model = SequenceModel(
        odyssey.get_cell(spec), task.signature, [7, 5], 1, backend="native", dtype=torch.float64
    )
    for k in range(2):
        model.initialise(k, Member(k, k, hidden_size=7 - 2 * k), "uniform")
    ours, theirs = make_recurrence(model, dense=True), TorchRecurrence(model)
    assert isinstance(ours, BackendRecurrence)
    state, other = None, None
    for batch in itertools.islice(
        task.train(batch_size=3, unroll=9, rng=np.random.default_rng(0)), 3
    ):
        x = torch.as_tensor(batch.inputs_TB).double().expand(2, -1, -1, -1)
        h, state = ours.forward(x, state)
        expected, other = theirs.forward(x, other)
        torch.testing.assert_close(h, expected)
        dh = torch.randn_like(h)
        got, wanted = ours.backward(dh), theirs.backward(dh)
        for p in model.rnn.parameters():
            torch.testing.assert_close(got[p], wanted[p])
        state = tuple(s.clone() for s in state)


@pytest.mark.parametrize(
    "more",
    [
        {"zoneout": 0.2},
        {"recurrent_dropout": 0.2},
        {"drop_connect": 0.2},
        {"input_dropout": 0.2},
        {"dropout": 0.2, "num_layers": 2},
        {"input_noise": 0.1},
    ],
)
def test_options_of_training_go_with_them(more):
    own = outcome("time_aware_lstm", "native", (6,), **more)
    assert np.isfinite(own).all()
    np.testing.assert_allclose(own, outcome("time_aware_lstm", "eager", (6,), **more), rtol=1e-8)
    plain = {"num_layers": 2} if "num_layers" in more else {}
    assert not np.allclose(own, outcome("time_aware_lstm", "native", (6,), **plain))
