"""Models with conditions, bits and reals: against plain torch, alone and in populations."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

import odyssey
from odyssey.hyperparameters import Member
from odyssey.tasks.base import Batch
from odyssey.tasks.registry import get_task
from odyssey.tasks.sequences import (
    ANOTHER,
    DrawnTask,
    Example,
    FiniteTask,
    with_conditions,
)
from odyssey.tasks.signature import (
    ATTENTION,
    BITS,
    CLASSES,
    EVERY,
    FIRST,
    REALS,
    WAYS,
    Condition,
    Signature,
    Values,
)
from odyssey.training.batches import Draws, join
from odyssey.training.config import TrainingConfig
from odyssey.training.group import Group
from odyssey.training.loop import train
from odyssey.training.model import SequenceModel, count_parameters
from odyssey.training.scores import ExactCounter
from odyssey.training.sizes import KEYS, VECTOR
from odyssey.training.step import TorchReadout, TorchRecurrence, make_recurrence

T, B, V, H = 4, 3, 5, 6
SHAPES = [(7,), (4, 3), (8, 12, 1), (5, 6, 2)]
CONFIG = TrainingConfig(
    batch_size=4, updates_per_epoch=10, epochs=2, optimizer="adam", dtype="float64", eval_batch=8
)


def model_of(spec, signature, sizes=(H,), layers=1):
    model = SequenceModel(
        odyssey.get_cell(spec), signature, list(sizes), layers, dtype=torch.float64
    )
    for k, _ in enumerate(sizes):
        model.initialise(k, Member(k, 3 + k, hidden_size=sizes[k]), "uniform_fan")
    return model


def encoded(parameters, given):
    """The grid (B, L, F) of one member, written once more."""
    if given.dim() == 2:
        return given[:, None]
    if given.dim() == 3:
        return given
    x = given.permute(0, 3, 1, 2)
    for n in range(3):
        x = functional.conv2d(
            functional.pad(x, (1, 1, 1, 1)),
            parameters[f"kernel_{n}"],
            parameters[f"kernel_bias_{n}"],
        ).clamp(min=0)
        if n < 2:
            height, width = x.shape[2:]
            x = functional.pad(x, (0, width % 2, 0, height % 2), value=-math.inf)
            x = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1).amax(-1)
    x = x.flatten(2).transpose(1, 2)
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()


def plain(model, member, x, given):
    """Runs one member with attention or a vector, one cell step at a time."""
    own = {n: p[member] for n, p in model.named_parameters()}
    rnn = odyssey.RNN(
        model.rnn.cell, model.rnn.input_size, model.rnn.hidden_size, 1, backend="eager",
        dtype=torch.float64,
    )  # fmt: skip
    inner = {n.removeprefix("rnn."): p for n, p in own.items() if n.startswith("rnn.")}

    def step(read, state):
        if model.embedding is not None:
            read = read @ own["embedding"].T
        return torch.func.functional_call(rnn, inner, (read[None], state))

    condition = {n.removeprefix("conditioner."): p for n, p in own.items()}
    places = encoded(condition, given)
    way = model.signature.condition.way
    hot = functional.one_hot(x, V).double()
    state, outputs = None, []
    if way != ATTENTION:
        v = places.flatten(1) @ condition["vector"].T + condition["vector_bias"]
        v = (v - v.mean(0)) / (v.var(0, correction=0) + 1e-5).sqrt()
        if way == FIRST:
            _, state = step(torch.cat([torch.zeros(len(v), V), v], 1), None)
    h = torch.zeros(len(x[0]), model.rnn.hidden_size, dtype=torch.float64)
    for t in range(len(x)):
        if way == ATTENTION:
            query = h @ condition["query"].T + condition["query_bias"]
            keys = places @ condition["key"].T + condition["place"]
            scores = (keys * query[:, None]).sum(-1) / KEYS**0.5
            weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
            extra = (weights[..., None] * places).sum(1)
        else:
            extra = v if way == EVERY else torch.zeros(len(v), VECTOR)
        h, state = step(torch.cat([hot[t], extra], 1), state)
        h = h[0]
        outputs.append(h @ own["readout"].T + own["readout_bias"])
    return torch.stack(outputs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", ["lstm", "mut1"])  # mut1 reads x elementwise
def test_values_and_gradients_are_those_of_plain_steps(spec, shape, way):
    signature = Signature(Values(CLASSES, V), Values(CLASSES, V), Condition(shape, way))
    model = model_of(spec, signature, (H, H))
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(V, (2, T, B), generator=generator)
    given = torch.rand(2, B, *shape, dtype=torch.float64, generator=generator)
    y, state = model(x, None, memory := model.encode(given, learning=True))
    goal = torch.randn(y.shape, dtype=torch.float64, generator=generator)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    ours = torch.autograd.grad((y * goal).sum(), [*parameters.values()])
    for k in range(2):
        want = plain(model, k, x[k], given[k])
        torch.testing.assert_close(y[k], want, rtol=1e-9, atol=1e-11)
        theirs = torch.autograd.grad((want * goal[k]).sum(), [*parameters.values()])
        for name, a, b in zip(parameters, ours, theirs, strict=True):
            torch.testing.assert_close(a[k], b[k], rtol=1e-7, atol=1e-10, msg=name)
    first, state = model(x[:, :2], None, memory)
    second, _ = model(x[:, 2:], state, memory)
    torch.testing.assert_close(torch.cat([first, second], 1), y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", ["lstm", "mut1"])
def test_parameters_are_counted(spec, shape, way):
    signature = Signature(Values(BITS, 4), Values(REALS, 3), Condition(shape, way))
    model = model_of(spec, signature)
    count = count_parameters(
        odyssey.get_cell(spec), signature=signature, hidden_size=H, num_layers=1
    )
    assert count == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("way", WAYS)
def test_a_member_learns_the_same_alone_and_beside_larger_ones(way):
    task = Pictures(Condition((8, 12, 1), way))
    members = [Member(k, 5 + k, hidden_size=h, learning_rate=0.01) for k, h in enumerate((6, 8, 7))]
    together = train(odyssey.get_cell("gru"), task, members, CONFIG)
    assert len(together.models) == 1
    for member, found in zip(members, together.results, strict=True):
        (alone,) = train(odyssey.get_cell("gru"), task, [member], CONFIG).results
        assert found.status == alone.status == "ok"
        assert found.valid_nats == pytest.approx(alone.valid_nats, rel=1e-9)
        assert found.test_exact == pytest.approx(alone.test_exact)
        assert found.characters == alone.characters > 0


class Pictures(DrawnTask):
    """Says how many of four bright spots a picture has, then stops."""

    exact = True
    held_out_sequences = 60

    def __init__(self, condition):
        signature = Signature(Values(CLASSES, 2), Values(CLASSES, 2), condition)
        super().__init__("spots", signature=signature, symbols=("a", "."), counted="all", facts={})

    def draw(self, rng, count, split):
        found = []
        for n in rng.integers(4, size=count):
            given = np.zeros(self.signature.condition.shape, dtype=np.float32)
            given[2, 3 * np.arange(n) + 1] = 1
            answer = np.array([0] * n + [1])
            found.append(Example(np.zeros(n + 1, dtype=np.int64), answer, None, given))
        return found


@pytest.mark.parametrize("way", WAYS)
def test_the_condition_is_read(way):
    task = Pictures(Condition((4, 12, 1), way))
    config = replace(CONFIG, epochs=1, updates_per_epoch=250, batch_size=32, dtype="float32")
    member = Member(0, 1, hidden_size=16, learning_rate=0.02)
    trained = train(odyssey.get_cell("lstm"), task, [member], config)
    (result,) = trained.results
    assert result.test_exact > 0.95  # without looking, a quarter
    assert min(result.shuffled_nats, result.blank_nats) > 5 * result.test_nats


@pytest.mark.parametrize("way", WAYS)
def test_losses_with_conditions_that_are_not_the_sequences_own(way):
    task = Pictures(Condition((4, 12, 1), way))
    group = Group(
        odyssey.get_cell("gru"), task, [Member(k, k, hidden_size=5) for k in (0, 1)], CONFIG
    )
    scores = group.measure("test", 0)
    examples = task.held_out_examples("test")
    mean = np.mean([e.given for e in examples], 0)
    other = with_conditions(examples, ANOTHER)
    for k in (0, 1):
        for name, given in (
            ("nats", [e.given for e in examples]),
            ("shuffled", [e.given for e in other]),
            ("blank", [mean] * len(examples)),
        ):
            nats = count = 0
            for example, own in zip(examples, given, strict=True):
                memory = group.model.encode(torch.as_tensor(own).double().expand(2, 1, -1, -1, -1))
                x = torch.from_numpy(example.inputs_T).view(1, -1, 1).expand(2, -1, -1)
                with torch.no_grad():
                    log_p = torch.log_softmax(group.model(x, None, memory)[0][k, :, 0], -1)
                nats -= log_p[np.arange(len(example)), example.targets_T].sum().item()
                count += len(example)
            assert getattr(scores, name)[k] == pytest.approx(nats / count, rel=1e-6), name
    valid = group.measure("valid", 0)
    assert np.isnan([*valid.shuffled, *valid.blank]).all()


def test_what_has_no_condition_has_no_losses_without_its_own():
    group = Group(odyssey.get_cell("gru"), get_task("xml"), [Member(0, 1, hidden_size=5)], CONFIG)
    scores = group.measure("test", 300)
    assert np.isnan([*scores.shuffled, *scores.blank]).all()


def test_a_condition_needs_torch():
    signature = Signature(Values(CLASSES, V), Values(CLASSES, V), Condition((3,), FIRST))
    model = model_of("lstm", signature)
    assert isinstance(make_recurrence(model, dense=signature.dense), TorchRecurrence)


@pytest.mark.parametrize("kind", [BITS, REALS])
def test_losses_of_bits_and_reals(kind):
    rng = np.random.default_rng(0)
    h, w, b = (torch.tensor(rng.normal(size=s)) for s in ((2, T, B, H), (2, 4, H), (2, 4)))
    target = torch.tensor(rng.random((2, T, B, 4)) < 0.5).double()
    counted = torch.tensor(rng.random((2, T, B)) < 0.6)
    readout = TorchReadout(kind)
    nats, right = readout.measure((h, w, b, target, counted))
    for k in range(2):
        want, hits = 0.0, 0.0
        for t in range(T):
            for column in range(B):
                if not counted[k, t, column]:
                    continue
                y = (w[k] @ h[k, t, column] + b[k]).numpy()
                goal = target[k, t, column].numpy()
                if kind == BITS:
                    p = 1 / (1 + np.exp(-y))
                    want -= (goal * np.log(p) + (1 - goal) * np.log(1 - p)).sum()
                    said = y > 0
                    either = (said | (goal == 1)).sum()
                    hits += (said & (goal == 1)).sum() / either if either else 1.0
                else:
                    want += ((y - goal) ** 2).sum()
                    hits += bool((np.abs(y - goal) < 0.04).all())
        assert nats[k].item() == pytest.approx(want, rel=1e-12)
        assert right[k].item() == pytest.approx(hits, rel=1e-6)


def test_a_frame_of_nothing_is_right_when_nothing_is_said():
    h, b = torch.zeros(1, 1, 1, 1), torch.full((1, 3), -1.0)
    inputs = (h, torch.zeros(1, 3, 1), b, torch.zeros(1, 1, 1, 3), torch.ones(1, 1, 1).bool())
    assert TorchReadout(BITS).measure(inputs)[1].item() == 1


class Echo(FiniteTask):
    """Gives bits or reals back a step later."""

    def __init__(self, kind):
        super().__init__(
            "echo", signature=Signature(Values(kind, 3), Values(kind, 3)), counted="all", facts={}
        )

    def examples(self, split):
        rng = np.random.default_rng(["train", "valid", "test"].index(split))
        found = []
        for _ in range(40):
            x = (rng.random((rng.integers(3, 9), 3)) < 0.5).astype(np.float32)
            found.append(Example(x, np.concatenate([np.zeros((1, 3)), x[:-1]]), None))
        return found


@pytest.mark.parametrize("kind", [BITS, REALS])
@pytest.mark.parametrize("spec", ["lstm", "mut1"])
def test_bits_and_reals_are_learned(kind, spec):
    config = replace(CONFIG, epochs=2, updates_per_epoch=150, dtype="float32")
    member = Member(0, 1, hidden_size=16, learning_rate=0.02)
    (result,) = train(odyssey.get_cell(spec), Echo(kind), [member], config).results
    assert result.test_nats < 0.2  # at first about 2 nats, or 1.5
    assert math.isnan(result.test_exact)


def test_fresh_columns_begin_anew_and_others_go_on():
    symbols = np.zeros((2, 3), dtype=np.int64)
    batch = Batch(symbols, symbols, symbols == 0, fresh_B=np.array([False, True, False]))
    state = (torch.ones(1, 2, 3, 4), torch.full((1, 2, 3, 4), 2.0))

    def start(columns):
        return tuple(torch.full((1, 2, columns, 4), 7.0) for _ in state)

    for before, now in zip(state, join([batch]).begin(state, start), strict=True):
        assert (now[:, :, 1] == 7).all()
        assert torch.equal(now[:, :, [0, 2]], before[:, :, [0, 2]])
    every = replace(batch, fresh_B=np.ones(3, dtype=bool))
    assert join([every]).begin(state, start) is None
    none = replace(batch, fresh_B=None)
    assert join([none]).begin(state, start) is state


def test_members_batches_of_other_lengths_are_padded():
    one, other = (
        Batch(np.ones((n, 2), dtype=np.int64), np.ones((n, 2), dtype=np.int64),
              np.ones((n, 2), dtype=bool), fresh_B=np.array([True, False]), read=n)
        for n in (3, 5)
    )  # fmt: skip
    joined = join([one, other])
    assert joined.inputs.shape == (2, 5, 2)
    assert joined.count_P.tolist() == [6, 10]
    assert joined.read_P.tolist() == [3, 5]
    assert not joined.weights[0, 3:].any()


def test_several_updates_stop_before_columns_of_which_some_begin_anew():
    def batch(*fresh, steps=2):
        zeros = np.zeros((steps, len(fresh)), dtype=np.int64)
        return Batch(zeros, zeros, zeros == 0, fresh_B=np.array(fresh))

    on, anew, some = (False, False), (True, True), (True, False)
    batches = [batch(*on), batch(*anew), batch(*some), batch(*on), batch(*on, steps=3)]
    draws = Draws([iter(batches)])
    assert [b.anew for b in draws.together(10, longest=2)] == [False, True]
    assert draws.together(10, longest=2) == []
    assert next(draws).anew is None
    assert len(draws.together(10, longest=2)) == 1  # the next one is longer
    assert next(draws).weights.shape == (1, 3, 2)


def test_sequences_that_are_wholly_right_are_counted():
    rng = np.random.default_rng(0)
    steps, columns, members = 200, 4, 3
    hits = rng.random((members, steps, columns)) < 0.8
    counted = rng.random((steps, columns)) < 0.5
    ends = rng.random((steps, columns)) < 0.2
    right, total = np.zeros(members), 0
    for column in range(columns):
        start = 0
        for end in np.flatnonzero(ends[:, column]) + 1:
            part = counted[start:end, column]
            if part.any():
                total += 1
                right += (hits[:, start:end, column] | ~part).all(1)
            start = end
    counter = ExactCounter(members)
    for start in range(0, steps, 7):
        part = slice(start, start + 7)
        zeros = np.zeros_like(counted[part], dtype=np.int64)
        batch = Batch(zeros, zeros, counted[part], ends_TB=ends[part])
        counter.add(hits[:, part], batch)
    assert counter.shares == (right / total).tolist()
    assert all(math.isnan(s) for s in ExactCounter(2).shares)


@pytest.mark.parametrize("spec", ["arithmetic@digits=2,distractors=0", "memorization@length=2"])
def test_exact_scores_of_streams(spec):
    group = Group(odyssey.get_cell("gru"), get_task(spec), [Member(0, 1, hidden_size=8)], CONFIG)
    scores = group.measure("test", 300)
    assert 0 <= scores.exact[0] <= 1
    assert math.isnan(group.measure("valid", 300).exact[0])
