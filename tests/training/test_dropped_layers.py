"""Dropout inside the recurrence, beside loops by hand with the same masks."""

import itertools
from dataclasses import replace
from functools import partial

import pytest
import torch
from support.one_update import one_update
from torch.nn import functional

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.expr import parse_cell
from odyssey.hyperparameters import Member
from odyssey.jobs.train import TrainOptions, train_cell
from odyssey.studies.trained import load_trained
from odyssey.tasks.registry import get_task
from odyssey.training.config import TrainingConfig
from odyssey.training.group import Group
from odyssey.training.loop import train
from odyssey.training.masks import Masks
from odyssey.training.scores import measure
from odyssey.training.step import TorchRecurrence
from odyssey.transforms.zoneout import expect_zoneout

CONFIG = TrainingConfig(
    batch_size=3, unroll=6, updates_per_epoch=4, epochs=2, valid_characters=200,
    test_characters=200, eval_batch=4, eval_unroll=20, dtype="float64",
)  # fmt: skip
DROPPED = {"recurrent_dropout": 0.4, "drop_connect": 0.3, "zoneout": 0.2}


def group_of(*members, backend="auto", cell="lstm", task="xml", **options):
    config = replace(CONFIG, backend=backend, **options)
    return Group(odyssey.get_cell(cell), get_task(task), members, config)


@pytest.fixture
def drawn(monkeypatch):
    """Keeps every mask that is drawn, by its kind."""
    masks, draw = {name: [] for name in (*DROPPED, "dropout")}, Masks.draw

    def kept(self, *args):
        masks[self.kind].append(draw(self, *args))
        return masks[self.kind][-1]

    monkeypatch.setattr(Masks, "draw", kept)
    return masks


def lstm(p, x, state, mask):
    """A step of an LSTM; `mask` is of the state that matrices read."""
    h, c = state
    read = h * mask
    i, f, o, g = (x @ p[f"W_{k}"].T + read @ p[f"U_{k}"].T + p[f"b_{k}"] for k in "ifog")
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(p, x, state, mask):
    """A step of a GRU as in Jozefowicz et al. (2015)."""
    (h,) = state
    r, z = ((x @ p[f"W_{k}"].T + (h * mask) @ p[f"U_{k}"].T + p[f"b_{k}"]).sigmoid() for k in "rz")
    n = (x @ p["W_n"].T + (h * mask * r) @ p["U_n"].T + p["b_n"]).tanh()
    return (z * h + (1 - z) * n,)


STEPS = {"lstm": (lstm, "ifog", 2), "gru": (gru, "rzn", 1)}


CASES = [
    *itertools.product(STEPS, (1, 2), BACKENDS, [DROPPED], [6]),
    *(("lstm", 2, "auto", {k: v}, 6) for k, v in DROPPED.items()),
    ("gru", 1, "auto", {"zoneout": 0.2}, 110),  # more steps than a number has digits, twice
]


@pytest.mark.parametrize(("cell", "layers", "backend", "dropped", "steps"), CASES)
def test_updates_are_those_of_a_loop_with_the_same_masks(
    drawn, backend, layers, cell, dropped, steps
):
    step, gates, states = STEPS[cell]
    member = Member(0, 7, hidden_size=5, num_layers=layers, learning_rate=0.1, **dropped)
    group = group_of(member, backend=backend, cell=cell, unroll=steps)
    symbols = group.task.num_symbols
    batches, again = [], group_of(member, cell=cell, unroll=steps).draws
    before = [[torch.zeros(3, 5, dtype=torch.float64)] * states for _ in range(layers)]
    state = None
    for _ in range(2):  # the second goes on from the states of the first
        own = {n: p.detach()[0].clone().requires_grad_() for n, p in group.model.named_parameters()}
        for masks in drawn.values():
            masks.clear()
        state, nll, count = one_update(group, state)
        batches.append(next(again))
        of_states, of_weights = drawn["recurrent_dropout"], drawn["drop_connect"]
        zones = [(m == 0).double() for m in drawn["zoneout"]]  # by state, by layer
        assert [m.shape for m in zones] == [(steps, 3, 5)] * layers * states * (
            "zoneout" in dropped
        )
        assert [m.shape for m in of_states] == [(3, 5)] * layers * ("recurrent_dropout" in dropped)
        assert len(of_weights) == len(gates) * layers * ("drop_connect" in dropped)
        h_T = list(functional.one_hot(torch.tensor(batches[-1].inputs[0]), symbols).double())
        for k in range(layers):
            p = {n.rpartition(".")[2]: v for n, v in own.items() if f"layers.{k}." in n}
            if of_weights:
                recurrent = [f"U_{g}" for g in gates]
                masks = of_weights[len(gates) * k : len(gates) * (k + 1)]
                # the order in which they are drawn: that of first use
                order = sorted(recurrent, key=list(p).index)
                p |= {n: p[n] * m for n, m in zip(order, masks, strict=True)}
            now = before[k]
            for t, x in enumerate(h_T):
                new = step(p, x, now, of_states[k] if of_states else 1.0)
                if zones:
                    keep = [m[t] for m in zones[k::layers]]
                    new = [z * a + (1 - z) * b for z, a, b in zip(keep, now, new, strict=True)]
                now, h_T[t] = new, new[0]
            before[k] = [s.detach() for s in now]
        logits = torch.stack(h_T) @ own["readout"].T + own["readout_bias"]
        target = torch.tensor(batches[-1].targets[0])
        loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        assert nll[0] / count[0] == pytest.approx(loss.item(), rel=1e-12)
        loss.backward()
        for name, parameter in group.model.named_parameters():
            expected = own[name].detach() - 0.1 * own[name].grad
            torch.testing.assert_close(parameter.detach()[0], expected, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(state, zip(*before, strict=True), strict=True):
        torch.testing.assert_close(ours[0], torch.stack(theirs))


def test_without_them_nothing_is_drawn_and_the_way_is_the_usual(drawn):
    plain, other = group_of(Member(0, 1)), group_of(Member(0, 1, drop_connect=0.1))
    plain.run()
    assert not any(drawn.values())
    assert plain.noise.layers is plain.noise.expected is plain.model.running is None
    assert type(other.update.recurrence) is TorchRecurrence
    assert (
        type(plain.update.recurrence) is not TorchRecurrence or plain.model.rnn.backend == "eager"
    )


@pytest.mark.parametrize("p", [0.25, 0.6])
def test_share_and_scale_of_masks(p):
    member = Member(0, 1, hidden_size=64, num_layers=2, recurrent_dropout=p, drop_connect=p)
    layers = group_of(member).noise.layers
    layers.use(layers.draw(50, [6]))
    (of_states,) = layers._states
    for mask in (of_states, *layers._weights[0].values(), *layers._weights[1].values()):
        assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
        # six standard deviations
        width = 6 * (p * (1 - p) / mask.numel()) ** 0.5
        assert float((mask == 0).double().mean()) == pytest.approx(p, abs=width)
        assert not torch.equal(*mask[0, :2]) or mask.dim() == 3
    assert not torch.equal(of_states[:, 0], of_states[:, 1])


def test_masks_are_drawn_for_each_update_and_each_member(drawn):
    members = [Member(k, k, hidden_size=20, **DROPPED) for k in range(2)]
    group = group_of(*members)
    for _ in range(3):
        one_update(group, None)
    for kind, each in (("recurrent_dropout", 1), ("drop_connect", 4), ("zoneout", 2)):
        masks = drawn[kind]
        assert len({m.numpy().tobytes() for m in masks}) == len(masks) == 3 * 2 * each


def test_one_kind_draws_the_same_beside_another(drawn):
    for more in ({}, {"dropout": 0.5, "recurrent_dropout": 0.5, "zoneout": 0.1}):
        one_update(group_of(Member(0, 3, hidden_size=4, drop_connect=0.5, **more)), None)
    one, other = drawn["drop_connect"][:4], drawn["drop_connect"][4:]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_held_out_data_are_read_without_and_with_the_expectation_of_zoneout(zoneout):
    member = Member(0, 5, hidden_size=8, **{**DROPPED, "zoneout": zoneout})
    trained = group_of(member)
    one_update(trained, None)
    config = replace(CONFIG, dtype="float64")
    cell = expect_zoneout(odyssey.get_cell("lstm"), zoneout)
    twin = Group(cell, get_task("xml"), [Member(0, 5, hidden_size=8)], config)
    twin.flat.assign(trained.flat.values_PN)
    found, expected = (g.measure("valid", 200).nats for g in (trained, twin))
    assert found == pytest.approx(expected, rel=1e-12)
    plain = group_of(Member(0, 5, hidden_size=8))
    plain.flat.assign(trained.flat.values_PN)
    assert (plain.measure("valid", 200).nats == found) == (zoneout == 0)


def test_a_model_that_is_read_again_has_the_expectation(tmp_path):
    options = TrainOptions(
        hidden_size=6, num_layers=2, zoneout=0.4, epochs=1, updates_per_epoch=3, batch_size=2,
        unroll=5, valid_characters=200, test_characters=100, sample=0, out=tmp_path / "run",
    )  # fmt: skip
    train_cell("lstm", "xml", options)
    read = load_trained(tmp_path / "run")
    assert read.model.rnn.cell == expect_zoneout(odyssey.get_cell("lstm"), 0.4)
    scores = measure(read.model, read.task, "valid", TrainingConfig(), characters=200)
    assert scores.nats == pytest.approx([read.row["valid_nats"]], rel=1e-5)


MIXED = [
    (8, {"recurrent_dropout": 0.3}),
    (8, {"zoneout": 0.3, "dropout": 0.2}),
    (10, {"drop_connect": 0.2, "dropout": 0.1}),
    (9, {"recurrent_dropout": 0.5, "drop_connect": 0.1}),
    (11, {}),
]
DEEP = """cell deep
input x
size R = H / 2
state h
state c : R
weight U : antisymmetric
a    = tanh(W @ x[t] + U @ h[t-1] + U_c @ c[t-1])
c[t] = 0.5 * c[t-1] + V_c @ a
h[t] = 0.5 * h[t-1] + V @ a
output h
"""


@pytest.mark.parametrize(
    ("cell", "layers", "backend"),
    [("gru", 1, "auto"), ("gru", 1, "eager"), ("mut1", 2, "auto"), ("deep", 2, "eager")],
)
def test_a_members_masks_are_its_own(cell, layers, backend):
    written = parse_cell(DEEP) if cell == "deep" else odyssey.get_cell(cell)
    members = [
        Member(k, 10 + k, hidden_size=h, num_layers=layers, **d) for k, (h, d) in enumerate(MIXED)
    ]
    task, config = get_task("xml"), replace(CONFIG, backend=backend, updates_per_epoch=2, epochs=1)
    together = train(written, task, members, config)
    assert len(together.models) == 1
    for member, result in zip(members, together.results, strict=True):
        (alone,) = train(written, task, [member], config).results
        assert result.valid_nats == pytest.approx(alone.valid_nats, rel=1e-9)
        assert result.train_nats == pytest.approx(alone.train_nats, rel=1e-9)


def test_backends_agree():
    config = replace(CONFIG, updates_per_epoch=2, epochs=1)
    found = [
        train(
            odyssey.get_cell("lstm_peephole"),
            get_task("xml"),
            [Member(0, 2, hidden_size=7, num_layers=2, dropout=0.2, **DROPPED)],
            replace(config, backend=backend),
        ).results[0].test_nats
        for backend in BACKENDS
    ]  # fmt: skip
    assert found == pytest.approx([found[0]] * len(found), rel=1e-9)


def test_with_attention_the_masks_of_an_update_hold_at_every_step(drawn):
    group = group_of(Member(0, 3, hidden_size=6, **DROPPED), task="house-numbers", unroll=4)
    state, *_ = one_update(group, None)
    one_update(group, state)
    assert [len(drawn[kind]) for kind in DROPPED] == [2, 8, 4]


def test_a_step_before_the_first_has_masks_of_its_own():
    members = [Member(k, 3 + k, hidden_size=6, num_layers=2, zoneout=0.4) for k in range(2)]
    make = partial(group_of, task="house-numbers@look=first", cell="gru")
    together = make(*members)
    one_update(together, None)
    layers = together.noise.layers
    # of the numbers that say who keeps its value, all digits but the last are spent
    assert not layers._later
    assert all((zone == 0.5).all() for zone in layers._zones)
    for member, row in zip(members, together.flat.values_PN, strict=True):
        alone = make(member)
        one_update(alone, None)
        torch.testing.assert_close(alone.flat.values_PN[0], row, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_digit_of_a_mask_is_read_in_single_precision(backend):
    member = Member(0, 3, hidden_size=19, num_layers=2, zoneout=0.3)
    group = group_of(member, backend=backend, unroll=2 * 23 + 4, dtype="float32")
    one_update(group, None)
    assert all((zone == 0.5).all() for zone in group.noise.layers._zones)


def test_a_cell_without_recurrent_maps_has_nothing_to_drop():
    text = "cell s\ninput x\nstate h\nh[t] = tanh(W @ x[t] + u * h[t-1])\noutput h\n"
    run = partial(train, parse_cell(text), get_task("xml"), config=CONFIG)
    less = {name: p for name, p in DROPPED.items() if name != "zoneout"}
    one, other = (run([Member(0, 1, hidden_size=4, **d)]).results[0].test_nats for d in ({}, less))
    assert one == pytest.approx(other, rel=1e-12)


def test_streams_can_be_restored_also_from_before_there_were_any(drawn):
    member = Member(0, 3, hidden_size=4, **DROPPED)
    noise = group_of(member).noise
    noise.layers.use(noise.layers.draw(2, [6]))
    state = noise.state()
    for masks in drawn.values():
        masks.clear()
    noise.layers.use(noise.layers.draw(2, [6]))
    noise.restore(state)
    noise.layers.use(noise.layers.draw(2, [6]))
    for masks in drawn.values():
        half = len(masks) // 2
        assert all(torch.equal(a, b) for a, b in zip(masks[:half], masks[half:], strict=True))
    fresh = group_of(member).noise
    first = fresh.layers.state()
    fresh.restore({k: v for k, v in state.items() if k not in first})
    assert all((first[k] == v).all() for k, v in fresh.layers.state().items())
