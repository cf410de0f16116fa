"""The training loop: parity with a hand-written loop, populations, divergence, schedules."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.one_update import one_update
from support.representatives import REPRESENTATIVES
from torch import nn
from torch.nn import functional

import odyssey
from odyssey.cells import LIBRARY
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import ConfigError, TaskError
from odyssey.hyperparameters import HYPERPARAMETERS, Member
from odyssey.tasks.registry import get_task
from odyssey.tasks.signature import Signature
from odyssey.training.config import SCHEDULES, TrainingConfig
from odyssey.training.group import Group
from odyssey.training.loop import group_members, train
from odyssey.training.model import SequenceModel, count_parameters, hidden_size_for
from odyssey.training.optimizer_rules import OPTIMIZERS
from odyssey.training.seeds import stream
from odyssey.training.sizes import reading

SMALL = TrainingConfig(
    batch_size=3,
    unroll=6,
    updates_per_epoch=5,
    epochs=2,
    valid_characters=200,
    test_characters=200,
    eval_batch=4,
    eval_unroll=20,
    dtype="float64",
)


def test_follows_a_hand_written_loop_over_nn_lstm():
    """The acceptance test of the training path: the same weights and batches, 200 updates."""
    task = get_task("python-source@bytes=200000")
    config = TrainingConfig(
        batch_size=10, unroll=25, updates_per_epoch=200, epochs=1, optimizer="adam",
        valid_characters=500, test_characters=500,
    )  # fmt: skip
    member = Member(0, 7, hidden_size=32, learning_rate=2e-3, clip_value=5.0)
    group = Group(odyssey.get_cell("lstm"), task, [member], config)
    model = group.model
    lstm, readout = nn.LSTM(task.num_symbols, 32), nn.Linear(32, task.num_symbols)
    own = {n: p.detach()[0].clone() for n, p in model.named_parameters()}
    with torch.no_grad():
        for name, kind in (("weight_ih_l0", "W"), ("weight_hh_l0", "U"), ("bias_ih_l0", "b")):
            parts = [own[f"rnn.layers.0.{kind}_{g}"] for g in "ifgo"]
            getattr(lstm, name).copy_(torch.cat(parts))
        lstm.bias_hh_l0.zero_().requires_grad_(False)
        readout.weight.copy_(own["readout"])
        readout.bias.copy_(own["readout_bias"])
    parameters = [p for m in (lstm, readout) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, 2e-3)
    batches = task.train(batch_size=10, unroll=25, rng=stream(7, "data", task.describe()["sha256"]))
    state, hidden, worst = None, None, 0.0
    for _ in range(200):
        batch = next(batches)
        x = functional.one_hot(torch.tensor(batch.inputs_TB), task.num_symbols).float()
        y, hidden = lstm(x, hidden)
        hidden = tuple(h.detach() for h in hidden)
        logits = readout(y)
        loss = functional.cross_entropy(
            logits.flatten(0, 1), torch.tensor(batch.targets_TB).flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(parameters, 5.0)
        optimizer.step()
        state, nats, count = one_update(group, state)
        worst = max(worst, abs(float(nats[0] / count[0]) - loss.item()))
    assert worst < 1e-4


def people(count=8):
    sizes = [5, 9, 6, 7, 5, 16, 4, 8]
    return [
        Member(k, 100 + k, hidden_size=sizes[k], learning_rate=0.02 * (k + 1), clip_norm=1.0)
        for k in range(count)
    ]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("spec", ["lstm", "gru", "mut1"])
def test_a_member_alone_equals_the_member_in_a_population(spec, dtype, tolerance):
    members = people()
    members[3] = members[3].replace(learning_rate=1e6, clip_norm=None)  # this one diverges
    config = replace(SMALL, updates_per_epoch=20, dtype=dtype)
    task, cell = get_task("xml"), odyssey.get_cell(spec)
    together = train(cell, task, members, config).results
    assert together[3].status == "diverged"
    assert [r.status for r in together].count("ok") == 7
    for member, result in zip(members, together, strict=True):
        alone = train(cell, task, [member], config).results[0]
        assert alone.status == result.status
        assert alone.diverged_at == result.diverged_at
        assert alone.num_parameters == result.num_parameters
        for name in ("train_nats", "valid_nats", "test_nats"):
            a, b = getattr(alone, name), getattr(result, name)
            assert (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, abs=tolerance)
        assert [point[:3] for point in alone.curve] == [point[:3] for point in result.curve]
        assert [v for *_, v in alone.curve] == pytest.approx(
            [v for *_, v in result.curve], abs=tolerance
        )


@pytest.fixture
def book(tmp_path):
    """A text whose splits differ: each speaks of its own letters."""
    path = tmp_path / "book.txt"
    rng = np.random.default_rng(1)
    parts = [("abcdef ", 16_000), ("abcghi ", 2_000), ("defghi ", 2_000)]
    path.write_text("".join("".join(rng.choice(list(a), n)) for a, n in parts))
    return get_task(f"text:{path}@split=80/10/10")


@pytest.mark.parametrize("spec", ["elman", "lstm", "gru"])
def test_the_score_of_a_text_does_not_depend_on_how_it_is_cut(book, spec):
    config = replace(SMALL, optimizer="adam", updates_per_epoch=40, eval_warmup=50)
    member = Member(0, 1, hidden_size=12, learning_rate=0.02)
    group = Group(odyssey.get_cell(spec), book, [member], config)
    group.run(None)
    (alone,) = replaced(group, eval_batch=1).measure("valid", 2000).nats
    cut, cold = (
        replaced(group, eval_batch=40, eval_warmup=w).measure("valid", 2000).nats[0]
        for w in (50, 0)
    )
    assert cut == pytest.approx(alone, abs=1e-4)
    assert abs(cold - alone) > 1e-3


def replaced(group, **options):
    group.config = replace(group.config, **options)
    return group


def test_each_split_is_measured_on_its_own(book):
    """The test loss is that of the test split, the validation loss that of the other."""
    config = replace(SMALL, optimizer="adam", epochs=3, updates_per_epoch=40, eval_batch=1)
    trained = train(odyssey.get_cell("gru"), book, [Member(0, 1, hidden_size=12)], config)
    (result,), ((model, _),) = trained.results, trained.models
    for split, nats, accuracy in (
        ("valid", result.valid_nats, result.valid_accuracy),
        ("test", result.test_nats, result.test_accuracy),
    ):
        symbols = torch.as_tensor(book.indices(split)[:201].astype(np.int64))
        logits, _ = model(symbols[None, :-1, None], None)
        own = logits[0, :, 0].detach()
        assert nats == pytest.approx(functional.cross_entropy(own, symbols[1:]).item(), abs=1e-9)
        assert accuracy == pytest.approx((own.argmax(-1) == symbols[1:]).double().mean().item())
    assert abs(result.valid_nats - result.test_nats) > 1e-3  # so that one is not the other


def test_a_member_that_diverged_leaves_zeros_whenever_it_did():
    members = people(3)
    members[1] = members[1].replace(learning_rate=1e6, clip_norm=None)
    config = replace(SMALL, updates_per_epoch=50)
    trained = train(odyssey.get_cell("gru"), get_task("xml"), members, config)
    assert [r.status for r in trained.results] == ["ok", "diverged", "ok"]
    for model, positions in trained.models:
        for row, position in enumerate(positions):
            sizes = [float(p[row].detach().abs().max()) for p in model.parameters()]
            assert (max(sizes) == 0) == (position == 1)
            assert math.isfinite(max(sizes))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_diverged_row_is_cleared_at_once(backend):
    """What is left of it must not be computed with: zeros, and not what it diverged to."""
    members = [Member(k, k, hidden_size=6, learning_rate=r) for k, r in enumerate((0.01, 1e6))]
    config = replace(SMALL, updates_per_epoch=40, backend=backend)
    group = Group(odyssey.get_cell("elman_relu"), get_task("xml"), members, config)
    state = None
    for _ in range(40):
        state, nats_P, count_P = one_update(group, state)
        if not group.alive[1]:
            break
    assert group.alive.tolist() == [True, False]
    assert float(group.flat.row(1).abs().max()) == 0.0
    assert float(group.best_PN[1].abs().max()) == 0.0
    assert (float(nats_P[1]), float(count_P[1])) == (0.0, 0.0)
    assert all(float(s[1].abs().max()) == 0.0 for s in state)
    assert all(float(s[0].abs().max()) > 0.0 for s in state)


def test_padding_never_moves_whatever_reaches_its_gradient():
    """A unit that a member lacks stays zero, also where its own gradient is no number."""
    members = [Member(k, k, hidden_size=h, learning_rate=0.1) for k, h in enumerate((4, 6))]
    for backend in BACKENDS:
        config = replace(SMALL, backend=backend, padding=2.0)
        group = Group(odyssey.get_cell("gru"), get_task("xml"), members, config)
        inside_PN = group.model.inside()
        assert not inside_PN[0].all()
        assert inside_PN[1].all()
        rng = torch.Generator().manual_seed(1)
        gradients = [
            torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in group.flat.parameters
        ]
        start = 0
        for g in gradients:  # whatever is padding gets no number
            size = g[0].numel()
            mask = inside_PN[:, start : start + size].view(g.shape)
            g[~mask] = math.nan
            start += size
        group.updates = 1
        group.optimizer.count()
        norm_P, healthy_P = group.update.step(gradients, mean_P=torch.ones(2).double())
        group._judge(norm_P, healthy_P, np.ones(2))
        assert group.alive.all(), backend
        values_PN = group.flat.values_PN
        assert float(values_PN[0][~inside_PN[0]].abs().max()) == 0.0
        assert torch.isfinite(values_PN).all()


def test_groups_hold_like_sizes_and_one_depth():
    members = [Member(k, k, hidden_size=h, num_layers=n) for k, (h, n) in enumerate(
        [(20, 1), (200, 1), (28, 1), (25, 2), (150, 1), (24, 2)]
    )]  # fmt: skip
    assert group_members(members, padding=1.5) == [(0, 2), (1, 4), (3, 5)]
    assert len(group_members(members, padding=1.0)) == 6
    edge = [Member(k, k, hidden_size=h) for k, h in enumerate((20, 30, 31))]
    assert group_members(edge, padding=1.5) == [(0, 1), (2,)]


def test_the_training_loss_is_the_mean_over_the_counted_characters_of_an_epoch():
    cell, task = odyssey.get_cell("gru"), get_task("memorization@length=3,symbols=5")
    members = [Member(k, k, hidden_size=4, learning_rate=0.05) for k in range(2)]
    group, state, nats, count = Group(cell, task, members, SMALL), None, 0.0, 0.0
    for _ in range(SMALL.updates_per_epoch):
        state, nll_P, counted_P = one_update(group, state)
        nats, count = nats + nll_P, count + counted_P
    assert (count > 0).all()
    results = train(cell, task, members, SMALL).results
    for k, result in enumerate(results):
        first, *_ = (v for *_, metric, v in result.curve if metric == "train_nats")
        assert first == pytest.approx(nats[k] / count[k], rel=1e-12)
        assert 0 < result.train_nats < 2 * math.log(5)


def test_divergence_is_recorded_with_its_update():
    member = Member(0, 1, hidden_size=6, learning_rate=1e6)
    config = replace(SMALL, updates_per_epoch=40)
    result = train(odyssey.get_cell("elman_relu"), get_task("xml"), [member], config).results[0]
    assert result.status == "diverged"
    assert 1 <= result.diverged_at <= 40
    assert "update" in result.reason
    assert math.isnan(result.valid_nats)
    assert math.isnan(result.test_nats)
    assert result.updates == result.diverged_at - 1


def test_same_seed_same_numbers_and_other_seed_others():
    task, cell = get_task("arithmetic@digits=2"), odyssey.get_cell("gru")
    a, b, c = (
        train(cell, task, [Member(0, seed, hidden_size=5)], SMALL).results[0].test_nats
        for seed in (3, 3, 4)
    )
    assert a == b
    assert a != c


def test_no_epochs_measures_the_untrained_model():
    config = replace(SMALL, epochs=0)
    result = train(odyssey.get_cell("gru"), get_task("xml"), [Member(0, 1, hidden_size=6)], config)
    (r,) = result.results
    assert r.updates == 0
    assert r.best_update == 0
    assert r.valid_nats == pytest.approx(math.log(29), abs=0.2)
    assert r.test_nats == pytest.approx(math.log(29), abs=0.2)


@pytest.mark.parametrize(
    "options",
    [
        *({"schedule": name, "patience": 1} for name in SCHEDULES),
        *({"optimizer": name} for name in OPTIMIZERS),
    ],
    ids=lambda options: next(iter(options.values())),
)
def test_every_schedule_and_optimizer_trains(options):
    config = replace(SMALL, epochs=4, **options)
    member = Member(0, 1, hidden_size=8, learning_rate=0.02)
    (result,) = train(odyssey.get_cell("gru"), get_task("xml"), [member], config).results
    assert result.status == "ok"
    losses = [v for *_, metric, v in result.curve if metric == "valid_nats"]
    assert min(losses) == result.valid_nats
    assert len(set(losses)) == len(losses) > 1
    seen = [v for *_, metric, v in result.curve if metric == "learning_rate"]
    assert len(seen) == len(losses)
    assert all(b <= a for a, b in itertools.pairwise(seen))


def rates(config, improve):
    """Runs the schedule on made-up validation results; gives the rates and when it stopped."""
    group = Group(
        odyssey.get_cell("elman"),
        get_task("xml"),
        [Member(0, 1, hidden_size=2, learning_rate=1.0)],
        config,
    )
    found = []
    for epoch in range(1, 15):
        group._validate = lambda epoch=epoch: [improve(epoch)]
        group._after_epoch(epoch, np.zeros(1))
        found.append(round(float(group.rates.rate_P[0]), 6))
        if not group.alive_P[0]:
            return found, epoch
    return found, None


def test_schedule_of_jozefowicz():
    config = replace(SMALL, schedule="plateau", patience=3, halvings=4)
    found, stopped = rates(config, lambda epoch: epoch <= 2)
    # epochs 3, 4, 5 do not improve; then four epochs at halved rates, then the end
    assert found == [1, 1, 1, 1, 0.5, 0.25, 0.125, 0.0625, 0.0625]
    assert stopped == 9


def test_schedule_of_karpathy():
    config = replace(SMALL, schedule="decay", decay=0.5, decay_after=3)
    found, stopped = rates(config, lambda epoch: True)
    assert found[:5] == [1, 1, 0.5, 0.25, 0.125]
    assert stopped is None


def test_schedule_of_greff():
    config = replace(SMALL, schedule="constant", patience=4)
    found, stopped = rates(config, lambda epoch: epoch == 1)
    assert set(found) == {1}
    assert stopped == 6  # more than four epochs without improvement


def test_momentum_rescales_the_rate_on_request():
    config = replace(SMALL, scale_by_momentum=True)
    member = Member(0, 1, hidden_size=2, learning_rate=1.0, momentum=0.75)
    group = Group(odyssey.get_cell("elman"), get_task("xml"), [member], config)
    assert group.rates.rate_P.tolist() == [0.25]


def test_sum_and_mean_losses_differ_by_the_counted_characters():
    task, cell = get_task("xml"), odyssey.get_cell("elman")
    member = Member(0, 1, hidden_size=4, learning_rate=0.3)
    steps = []
    for loss in ("mean", "sum"):
        group = Group(cell, task, [member], replace(SMALL, loss=loss))
        before = group.flat.values_PN.clone()
        one_update(group, None)
        steps.append((group.flat.values_PN - before)[0])
    torch.testing.assert_close(steps[1], steps[0] * SMALL.unroll, rtol=1e-9, atol=1e-12)


def another_value(row):
    """A value of a hyperparameter that is not its default."""
    if row.range.kind is int:
        return 2000 if row.default is None else row.default + 1
    values = (0.01, 0.5) if row.default is None else (0.5 * row.default, 0.5)
    return next(v for v in values if row.range.admits(v) and v != row.default)


@pytest.mark.parametrize("row", HYPERPARAMETERS.values(), ids=lambda row: row.name)
def test_every_hyperparameter_acts(row):
    cell, task, plain = odyssey.get_cell("lstm"), get_task("xml"), Member(0, 1, hidden_size=4)
    changed = plain.replace(**{row.name: another_value(row)})
    config = replace(SMALL, **({"schedule": "cosine"} if row.name == "final_rate" else {}))
    (one, other) = (train(cell, task, [m], config).results[0] for m in (plain, changed))
    assert one.status == other.status == "ok"
    assert one.test_nats != other.test_nats


def test_input_noise_acts_in_training_only_and_per_member():
    task, cell = get_task("xml"), odyssey.get_cell("lstm")
    quiet, loud = Member(0, 1, hidden_size=4), Member(0, 1, hidden_size=4, input_noise=0.5)
    a, b = (train(cell, task, [m], SMALL).results[0] for m in (quiet, loud))
    assert a.train_nats != b.train_nats
    both = train(cell, task, [quiet, loud], SMALL).results
    assert both[0].test_nats == pytest.approx(a.test_nats, abs=1e-10)
    assert both[1].test_nats == pytest.approx(b.test_nats, abs=1e-10)


def test_input_noise_is_the_members_own_whatever_else_was_drawn():
    member = Member(0, 5, hidden_size=6, input_noise=0.5)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(train(odyssey.get_cell("gru"), get_task("xml"), [member], SMALL).results[0])
    assert found[0].curve == found[1].curve


def test_a_curve_has_four_numbers_an_epoch():
    config = replace(SMALL, epochs=3)
    (result,) = train(odyssey.get_cell("gru"), get_task("xml"), [Member(0, 5)], config).results
    metrics = ["train_nats", "valid_nats", "valid_accuracy", "learning_rate"]
    assert [metric for *_, metric, _ in result.curve] == metrics * 3
    accuracies = [v for *_, metric, v in result.curve if metric == "valid_accuracy"]
    assert all(0 < a < 1 for a in accuracies)
    assert result.valid_accuracy in accuracies


def test_progress_says_what_the_epoch_gave():
    members = [Member(4, 5), Member(2, 6)]
    config, epochs = replace(SMALL, epochs=3), []
    trained = train(
        odyssey.get_cell("gru"), get_task("xml"), members, config, progress=epochs.append
    )
    assert [(e.epoch, e.epochs, e.members, e.updates) for e in epochs] == [
        (k, 3, (4, 2), k * SMALL.updates_per_epoch) for k in (1, 2, 3)
    ]
    for name in ("train_nats", "valid_nats"):
        curves = [[v for *_, m, v in r.curve if m == name] for r in trained.results]
        assert [list(getattr(e, name)) for e in epochs] == [
            list(v) for v in zip(*curves, strict=True)
        ]
    assert 0 < epochs[0].seconds < epochs[1].seconds < epochs[2].seconds


def test_a_member_without_a_validation_loss_has_diverged_and_others_go_on():
    members = [Member(k, 5 + k, hidden_size=6) for k in range(3)]
    group = Group(odyssey.get_cell("gru"), get_task("xml"), members, SMALL)
    measure = group.measure

    def with_a_hole(split, characters, **options):
        scores = measure(split, characters, **options)
        return replace(scores, nats=[scores.nats[0], math.nan, scores.nats[2]])

    group.measure = with_a_hole
    group.run(None)
    assert [r.status for r in group.results] == ["ok", "diverged", "ok"]
    assert group.results[1].diverged_at == SMALL.updates_per_epoch
    assert len(group.results[2].curve) == len(group.results[0].curve) == 4 * SMALL.epochs
    assert math.isnan(group.results[1].test_nats)


def test_one_counted_character_is_enough_and_none_an_error():
    task = get_task("python-source@bytes=20000")
    config = replace(SMALL, batch_size=1, unroll=1, updates_per_epoch=1, epochs=1)
    (result,) = train(odyssey.get_cell("gru"), task, [Member(0, 5)], config).results
    assert result.train_nats == pytest.approx(math.log(task.num_symbols), rel=0.2)
    group = Group(odyssey.get_cell("gru"), task, [Member(0, 5)], config)
    scores = group.measure("valid", 1)
    nats, accuracy = scores.nats, scores.accuracy
    assert nats[0] == pytest.approx(math.log(task.num_symbols), rel=0.2)
    assert accuracy[0] in (0.0, 1.0)
    group.task = Mute(task)
    with pytest.raises(ConfigError, match=r"no counted character among 7 for valid; raise"):
        group.measure("valid", 7)


class Mute:
    """A task of which no character counts."""

    exact = False

    def __init__(self, task):
        self.task, self.name = task, task.name

    def held_out(self, split, **options):
        for batch in self.task.held_out(split, **options):
            yield replace(batch, weights_TB=np.zeros_like(batch.weights_TB))


def test_forget_bias_and_initial_scale():
    cell, task = odyssey.get_cell("lstm"), get_task("xml")
    members = [
        Member(0, 1, hidden_size=64),
        Member(0, 1, hidden_size=64, forget_bias=3.0, init_scale=2.0),
    ]
    group = Group(cell, task, members, SMALL)
    own = group.model.rnn.layers[0]
    assert own["b_f"][0].abs().max() == 0
    assert (own["b_f"][1] == 3).all()
    assert own["b_i"][1].abs().max() == 0
    torch.testing.assert_close(own["U_f"][1], 2 * own["U_f"][0])


def test_best_parameters_are_those_of_the_test():
    config = replace(SMALL, epochs=6, updates_per_epoch=20)
    member = Member(0, 2, hidden_size=8, learning_rate=0.5)
    trained = train(odyssey.get_cell("elman"), get_task("xml"), [member], config)
    (result,) = trained.results
    valid = [(v, u) for u, _, m, v in result.curve if m == "valid_nats"]
    assert (result.valid_nats, result.best_update) == min(valid)
    assert len(valid) == 6


@pytest.mark.parametrize("spec", [*REPRESENTATIVES, "NIG", "FGR"])
@pytest.mark.parametrize("layers", [1, 2])
def test_parameters_are_counted_as_they_are(spec, layers):
    cell = odyssey.get_cell(spec)
    model = SequenceModel(cell, Signature.symbols(11), [6], layers)
    count = sum(p.numel() for p in model.parameters())
    assert (
        count_parameters(cell, signature=Signature.symbols(11), hidden_size=6, num_layers=layers)
        == count
    )


@pytest.mark.parametrize("spec", ["elman", "lstm", "mut1"])
def test_hidden_size_for_a_parameter_budget(spec):
    cell = odyssey.get_cell(spec)
    size = hidden_size_for(cell, 25_000, signature=Signature.symbols(29), num_layers=1)

    def count(h):
        return count_parameters(cell, signature=Signature.symbols(29), hidden_size=h, num_layers=1)

    assert count(size) <= 25_000 < count(size + 1)
    result = train(cell, get_task("xml"), [Member(0, 1, parameters=2_000)], SMALL).results[0]
    assert 1_500 < result.num_parameters <= 2_000
    with pytest.raises(ConfigError, match="too few"):
        hidden_size_for(cell, 10, signature=Signature.symbols(29), num_layers=1)


def reads(name):
    """Tells whether a cell reads symbols, and needs nothing beside them."""
    try:
        return bool(reading(odyssey.get_cell(name), Signature.symbols(29)))
    except ConfigError:
        return False


def test_every_cell_has_a_size_for_a_parameter_budget():
    """A size that it admits; the next one it admits would be too large."""
    names = [name for name in LIBRARY if reads(name)]
    assert len(names) > 0.9 * len(LIBRARY)
    stepped = set()
    for name in names:
        cell = odyssey.get_cell(name)

        def count(hidden, cell=cell):
            return count_parameters(
                cell, signature=Signature.symbols(29), hidden_size=hidden, num_layers=1
            )

        size = hidden_size_for(cell, 20_000, signature=Signature.symbols(29), num_layers=1)
        assert count(size) <= 20_000, name
        for larger in itertools.count(size + 1):
            try:
                assert count(larger) > 20_000, name
                break
            except ConfigError:
                stepped.add(name)
    assert {"urnn_full", "gla", "gateloop"} <= stepped


def test_a_budget_that_fits_no_size_says_the_fewest_units():
    with pytest.raises(ConfigError, match="too few for 2 units, the fewest it can have"):
        hidden_size_for(odyssey.get_cell("gla"), 10, signature=Signature.symbols(29), num_layers=1)


def test_data_too_short_is_an_error_before_training(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("abc" * 30)
    with pytest.raises(TaskError, match="short"):
        train(odyssey.get_cell("elman"), get_task(f"text:{path}"), people(1), TrainingConfig())
