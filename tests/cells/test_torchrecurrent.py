"""Library cells beside torchrecurrent: outputs, final states and all gradients, in float64.

torchrecurrent 0.2.5 is written by others, with autograd, so it shares nothing with ours. Where its
code leaves the paper, the paper's formula is put in its place here, and docs/cells.md says so.
SCRN, MUT1 and MUT2 it makes into other cells; those of the papers are judged by the textbook.
"""

from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import torchrecurrent
from support.judge import refused

import odyssey
from odyssey.cells import LIBRARY
from odyssey.compiler.backends import BACKENDS

INPUTS, UNITS, STEPS, BATCH = 3, 4, 5, 2


class TheanoHardSigmoid(torch.nn.Module):
    """The hard sigmoid of Theano, in which SGU and DSGU were written."""

    def forward(self, v):
        return torch.clamp(0.2 * v + 0.5, 0, 1)


def lem(cell, x, state):
    """The second state reads the new first one; torchrecurrent's reads the old."""
    y, z = state
    a = (x @ cell.weight_ih.t() + cell.bias_ih).chunk(4, 1)
    b = (y @ cell.weight_hh.t() + cell.bias_hh).chunk(3, 1)
    step_y, step_z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
    z = (1 - step_z) * z + step_z * torch.tanh(a[2] + b[2])
    inner = torch.tanh(a[3] + z @ cell.weight_ch.t() + cell.bias_ch)
    return (1 - step_y) * y + step_y * inner, z


def nas(cell, x, state):
    """The fourth pair of maps is multiplied; torchrecurrent adds."""
    h, c = state
    a = (x @ cell.weight_ih.t()).chunk(8, 1)
    m = (h @ cell.weight_hh.t() + cell.bias_ih + cell.bias_hh).chunk(8, 1)
    one = torch.tanh(torch.sigmoid(a[0] + m[0]) * torch.relu(a[1] + m[1]))
    two = torch.tanh(torch.sigmoid(a[2] + m[2]) + torch.relu(a[3] * m[3]))
    three = torch.tanh(torch.tanh(a[4] + m[4]) * torch.sigmoid(a[5] + m[5]))
    four = torch.sigmoid(torch.tanh(a[6] + m[6]) + torch.sigmoid(a[7] + m[7]))
    c = torch.tanh(one + c) * two
    return torch.tanh(c * torch.tanh(three + four)), c


def lstm_1997(cell, x, state):
    """Squashing to [-2, 2] and [-1, 1] by stretched logistic functions, not by tanh."""
    h, c = state
    gates = x @ cell.weight_ih.t() + cell.bias_ih + h @ cell.weight_hh.t() + cell.bias_hh
    i, g, o = torch.sigmoid(gates).chunk(3, 1)
    c = c + i * (4 * g - 2)
    return o * (2 * torch.sigmoid(c) - 1), c


def fastgrnn(cell, x, h):
    """The gate is a sigmoid, as in the paper and in torchrecurrent's own documentation."""
    both = x @ cell.weight_ih.t() + h @ cell.weight_hh.t()
    z_bias, n_bias = (cell.bias_ih + cell.bias_hh).chunk(2)
    z, n = torch.sigmoid(both + z_bias), torch.tanh(both + n_bias)
    return (torch.sigmoid(cell.zeta) * (1 - z) + torch.sigmoid(cell.nu)) * n + z * h


@dataclass(frozen=True)
class Peer:
    """A layer of torchrecurrent, and where our weights stand in it.

    Attributes:
        layer: The name of its class.
        weights: A weight of its cells -> ours, one after the other in its rows. `0` are rows of
            zeros; `b_g+1` is a bias that holds the 1 that our equation adds.
        options: What else the layer is made with.
        states: Our states in its order; none where it starts at zero, and its last ones are then
            compared as far as `compared` names them.
        compared: Of these states the last values are compared.
        forward: The step of the paper, where its cells take another one.
    """

    layer: str
    weights: dict
    states: str = "h"
    options: dict = field(default_factory=dict)
    compared: str = ""
    forward: object = None


def gates(*, ih="", hh="", bias="", inner="", **more):
    """Writes down where weights stand whose maps of the input and of the state are stacked."""
    rows = {"weight_ih": ih, "weight_hh": hh, "bias_ih": bias, "bias_hh": inner, **more}
    return {name: names for name, names in rows.items() if names}


def stacked(letters, *, recurrent="", **more):
    """The common case: gates of these letters, each with a map of both and a bias."""
    return gates(
        ih=" ".join(f"W_{k}" for k in letters),
        hh=" ".join(f"U_{k}" for k in recurrent or letters),
        bias=" ".join(f"b_{k}" for k in letters),
        **more,
    )


LAST_INPUT = gates(ih="W_z W_f W_o", hh="W_vz W_vf W_vo", bias="b_z b_f b_o")
EULER = {"epsilon": 0.1, "gamma": 0.01}
PEERS = {
    "antisymmetric": Peer("AntisymmetricRNN", stacked("h"), options=EULER),
    "gated_antisymmetric": Peer(
        "GatedAntisymmetricRNN", gates(ih="W_z W_h", hh="U_h", bias="b_z b_h"), options=EULER
    ),
    "fastrnn": Peer("FastRNN", stacked("h", alpha="alpha", beta="beta")),
    "fastgrnn": Peer(
        "FastGRNN",
        gates(ih="W_h", hh="U_h", bias="b_z b_h", zeta="zeta", nu="nu"),
        forward=fastgrnn,
    ),
    "atr": Peer("ATR", gates(ih="W_p", hh="U_q", bias="b_p", inner="b_q")),
    "br": Peer("BR", gates(ih="W_a W_z W_n", hh="u_a u_z", bias="b_a b_z 0")),
    "nbr": Peer("NBR", gates(ih="W_a W_z W_n", hh="U_a U_z", bias="b_a b_z 0")),
    "cfn": Peer("CFN", gates(ih="W_f W_i W_g", hh="U_f U_i", bias="b_f b_i 0")),
    "cornn": Peer(
        "coRNN",
        gates(ih="W_z", hh="U_z", bias="b_z", weight_ch="U_v"),
        "h z",
        {"dt": 0.042, "gamma": 2.7, "epsilon": 4.7},
    ),
    "sgu": Peer(
        "SGU",
        gates(ih="W_g W_z", hh="U_g U_z", bias="b_x b_z", inner="b_g 0"),
        options={"gate_nonlinearity": TheanoHardSigmoid()},
    ),
    "dsgu": Peer(
        "DSGU",
        gates(ih="W_g W_z", hh="U_g U_z", bias="b_x b_z", inner="b_g 0", weight_ho="U_n"),
        options={"gate_nonlinearity": TheanoHardSigmoid()},
    ),
    "indrnn": Peer(
        "IndRNN", gates(ih="W_h", bias="b_h", vector_u="u_h"), options={"nonlinearity": "relu"}
    ),
    "intersection_rnn": Peer(
        "IntersectionRNN", {**stacked("mndg"), "bias_ih": "b_m b_n b_d+1 b_g+1"}
    ),
    "janet": Peer("JANET", stacked("fg"), "h h", {"beta": 1.0}),
    "lem": Peer(
        "LEM",
        gates(
            ih="W_d W_e W_z W_y",
            hh="U_d U_e U_z",
            bias="b_d b_e b_z b_y",
            weight_ch="U_y",
        ),
        "y z",
        forward=lem,
    ),
    "lightru": Peer("LightRU", stacked("nf", recurrent="f")),
    "ligru": Peer("LiGRU", stacked("zn")),
    "mclstm": Peer("MCLSTM", stacked("fiokg"), "v c"),
    "mgu": Peer("MGU", stacked("fn")),
    "minimalrnn": Peer(
        "MinimalRNN", gates(ih="W_n", hh="U_h", bias="b_n", inner="b_z", weight_mm="U_n")
    ),
    "miru1": Peer("MiRU1", stacked("rn")),
    "miru2": Peer("MiRU2", stacked("n")),
    "multiplicative_lstm": Peer(
        "MultiplicativeLSTM",
        gates(
            ih="W_m W_i W_f W_g W_o",
            hh="U_m",
            bias="0 b_i b_f b_g b_o",
            weight_mh="U_i U_f U_g U_o",
        ),
        "h c",
    ),
    "mut1_mapped": Peer(
        "MUT1", gates(ih="W_z W_r W_h", hh="U_r U_h", bias="b_z b_r b_w", inner="0 b_h")
    ),
    "mut2_mapped": Peer("MUT2", stacked("zrh")),
    "mut3": Peer("MUT3", stacked("zrh")),
    "nas": Peer("NAS", stacked("12345678"), "h c", forward=nas),
    "lstm_1997": Peer("OriginalLSTM", stacked("igo"), "h c", forward=lstm_1997),
    "lstm:no_forget_gate": Peer("OriginalLSTM", stacked("igo"), "h c"),
    "lstm_peephole": Peer("PeepholeLSTM", stacked("ifgo", weight_ph="p_i p_f p_o"), "h c"),
    "ran": Peer("RAN", gates(ih="W_g W_i W_f", hh="U_i U_f", bias="b_i b_f"), "h c"),
    "residual_lstm": Peer(
        "ResLSTM",
        stacked("ifgo", weight_ph="p_i p_f p_o", weight_proj="U_p", weight_res="W_h"),
        "h c",
    ),
    "sgrn": Peer("SGRN", gates(ih="W_p", hh="U_f", bias="b_p", inner="b_f")),
    "star": Peer("STAR", stacked("zk", recurrent="k")),
    "taugru": Peer("tauGRU", stacked("uvza"), "", {"delay": 5}, compared="h"),
    "tgru": Peer("TGRU", LAST_INPUT, "", compared="h"),
    "tlstm": Peer("TLSTM", LAST_INPUT, "", compared="c"),
    "trnn": Peer("TRNN", gates(ih="W_z W_f", bias="b_z b_f")),
    "ugrnn": Peer("UGRNN", {**stacked("ng"), "bias_ih": "b_n b_g+1"}),
    "unicornn": Peer(
        "UnICORNN",
        gates(ih="W_z", hh="w_z", bias="b_z", weight_ch="k"),
        "h z",
        {"dt": 0.19, "alpha": 30.65},
    ),
    "wmclstm": Peer(
        "WMCLSTM", stacked("ifgo", weight_mh="U_ci U_cf U_co", bias_mh="m_i m_f m_o"), "h c"
    ),
}


def test_every_layer_of_torchrecurrent_is_a_peer_or_known_to_be_none():
    layers = {
        name
        for name in dir(torchrecurrent)
        if f"{name}Cell" in dir(torchrecurrent) and isinstance(getattr(torchrecurrent, name), type)
    }
    made_into_another_one = {"SCRN"}
    assert layers - {peer.layer for peer in PEERS.values()} == made_into_another_one
    assert {spec.split(":")[0] for spec in PEERS} <= set(LIBRARY)


def test_the_page_says_how_many_have_peers():
    page = (Path(__file__).parents[2] / "docs/cells.md").read_text("utf-8")
    assert f"* {len(set(PEERS) & set(LIBRARY))} cells stand beside" in page


def put(tensor, names, weights):
    """Gives our weights, stacked as they stand in a tensor of theirs."""
    parts = names.split()
    rows = tensor.shape[0] // len(parts)
    zeros = torch.zeros(rows, *tensor.shape[1:], dtype=torch.float64)
    shifts = [part.partition("+")[2] for part in parts]
    return torch.cat(
        [
            zeros if part == "0" else weights[part.partition("+")[0]] + float(shift or 0)
            for part, shift in zip(parts, shifts, strict=True)
        ]
    )


def loss_of(output, states):
    """A linear form that tells all of them apart."""
    values = [output, *states]
    return sum((v * torch.linspace(-1, 1, v.numel()).double().view_as(v)).sum() for v in values)


@cache
def theirs(spec, layers):
    """What torchrecurrent gives on drawn weights: weights, inputs, results and gradients."""
    peer, cell = PEERS[spec], odyssey.get_cell(spec)
    size = UNITS if cell.shapes.square else INPUTS
    generator = torch.Generator().manual_seed(9)
    model = getattr(torchrecurrent, peer.layer)(size, UNITS, num_layers=layers, **peer.options)
    model = model.double()
    if peer.forward:
        for their in model.cells:
            their.forward = partial(peer.forward, their)
    ours = odyssey.RNN(cell, size, UNITS, layers, backend="eager", dtype=torch.float64)
    weights = {
        n: torch.randn(p.shape, generator=generator, dtype=torch.float64).mul(0.4)
        for n, p in ours.named_parameters()
    }
    seen = set()
    for k, their in enumerate(model.cells):
        own = {n.removeprefix(f"layers.{k}."): w for n, w in weights.items() if f".{k}." in n}
        for name, tensor in their.named_parameters():
            if tensor.dim() == 0:
                continue  # a constant of the paper, that it trains
            names = peer.weights.get(name, "0")
            assert names != "0" or name.startswith("bias"), name
            seen |= {part.partition("+")[0] for part in names.split()} - {"0"}
            with torch.no_grad():
                tensor.copy_(put(tensor, names, own))
    assert seen == {n.rpartition(".")[2] for n in weights}, "every weight of ours stands somewhere"
    x = torch.randn(STEPS, BATCH, size, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    start = {
        s: torch.randn(layers, BATCH, UNITS, generator=generator, dtype=torch.float64)
        .mul(0.5)
        .requires_grad_()
        for s in dict.fromkeys(peer.states.split())
    }
    order = [start[s] for s in peer.states.split()]
    state = None if not order else order[0] if len(order) == 1 else tuple(order)
    output, final = model(x, state)
    while peer.compared and not isinstance(final, torch.Tensor):
        final = final[0]
    named = (peer.states or peer.compared).split()
    final = [final] if isinstance(final, torch.Tensor) else list(final)
    finals = dict(zip(named, final, strict=True))
    loss_of(output, finals.values()).backward()
    gradients = {"x": x.grad} | {f"state {s}": v.grad for s, v in start.items()}
    for k, their in enumerate(model.cells):
        for name, names in peer.weights.items():
            chunks = getattr(their, name).grad.chunk(len(names.split()))
            for part, chunk in zip(names.split(), chunks, strict=True):
                gradients[f"layers.{k}.{part.partition('+')[0]}"] = chunk
    gradients = {n: g for n, g in gradients.items() if not n.endswith(".0")}
    return weights, x.detach(), start, output.detach(), finals, gradients


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", PEERS)
def test_parity(spec, backend, layers):
    cell = odyssey.get_cell(spec)
    if refused(cell, backend):
        return
    weights, x, start, expected, finals, gradients = theirs(spec, layers)
    model = odyssey.RNN(cell, x.shape[-1], UNITS, layers, backend=backend, dtype=torch.float64)
    model.load_state_dict(weights)
    x = x.clone().requires_grad_()
    state = tuple(
        start[s].detach().clone().requires_grad_() if s in start else zero
        for s, zero in zip(cell.states, model.start_state(BATCH), strict=True)
    )
    output, final = model(x, state)
    final = dict(zip(cell.states, final, strict=True))
    close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)
    close(output.detach(), expected)
    for name, value in finals.items():
        close(final[name], value)
    loss_of(output, [final[name] for name in finals]).backward()
    found = {n: p.grad for n, p in model.named_parameters()} | {"x": x.grad}
    found |= {f"state {s}": state[cell.states.index(s)].grad for s in start}
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        close(found[name], gradient, msg=lambda text, name=name: f"{name}: {text}")
