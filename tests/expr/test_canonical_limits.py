"""The canonical text is a legal cell and its own canonical form, whatever the cell."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from support.deep_cells import DEEP, chains
from support.random_cells import cells
from support.rewrites import rename

from odyssey.expr import canonical, parse_cell
from odyssey.expr.algebra import MAX_TERMS
from odyssey.expr.limits import MAX_DEPTH, MAX_LINE


def cell(*lines, states="h", output="h"):
    header = [f"state {states}"] if states else ["not recurrent"]
    return parse_cell("\n".join(["cell t1", "input x", *header, *lines, f"output {output}"]))


def balanced(parts, join):
    """One expression of many parts, as flat as can be."""
    while len(parts) > 1:
        pairs = [parts[k : k + 2] for k in range(0, len(parts), 2)]
        parts = [f"({join.join(pair)})" if len(pair) > 1 else pair[0] for pair in pairs]
    return parts[0]


DIGITS = "abcdefgijkmnopqrsuvwyz"
HOSTILE = {
    "no fixed point when products are kept": cell(
        "n0 = W @ x[t] + b0",
        "n2 = n0*n0 + (1-n0)*s[t-1]",
        "n4 = n0*n0 + (1-n0)*n2",
        "n9 = n0*n0 + (1-n0)*b7",
        "n11 = n9*n4",
        "s[t] = n9*n2 + (1-n9)*n11",
        states="s",
        output="s",
    ),
    "input cancels": cell("h[t] = W @ x[t] - W @ x[t] + tanh(h[t-1])"),
    "state cancels": cell("h[t] = W @ x[t] + h[t-1] - h[t-1]"),
    "input and state cancel": cell("h[t] = x[t] - x[t] + h[t-1] - h[t-1]"),
    "map of a number": cell("h[t] = W @ x[t] + U @ (h[t-1] - h[t-1] + 1) + h[t-1]"),
    "map of a function of a number": cell("h[t] = W @ x[t] + U @ tanh(h[t-1] / h[t-1] * 0 + 1)"),
    "too large by what cancels": cell(
        "h[t] = tanh(W @ x[t] + U @ h[t-1]) * exp(1000 + v - v)",
    ),
    "divided by what cancels": cell("h[t] = tanh(W @ x[t] + U @ h[t-1]) / (v - v)"),
    "logarithm of what cancels": cell("h[t] = tanh(W @ x[t] + log(v - v) * h[t-1])"),
    "forms in forms": cell(
        f"h[t] = {'gelu(modrelu(' * 30}W @ x[t] + U @ h[t-1]{', b))' * 30}",
    ),
    "square by what cancels": cell(
        "h[t] = x[t] - x[t] + tanh(W @ x[t] + U @ h[t-1])", "init W = identity"
    ),
    "one matrix for both, square by what cancels": cell(
        "h[t] = x[t] - x[t] + tanh(W @ x[t] + W @ h[t-1])"
    ),
    "square by what is dead": cell(
        "k = x[t] + h[t-1]", "h[t] = tanh(W @ x[t] + U @ h[t-1])", "init W = identity"
    ),
    "long sum of sums": cell(
        *(f"a{k} = {'+'.join(f'p{k}_{j}' for j in range(90))}" for k in range(4)),
        "h[t] = W @ x[t] + h[t-1] * (a0 + a1 + a2 + a3)",
    ),
    "sums along a chain": cell(
        "a0 = W @ x[t] + h[t-1]",
        *(f"a{k} = a{k - 1} + tanh(a{k - 1})" for k in range(1, 200)),
        "h[t] = a199",
    ),
    "long lines of short names": cell(
        "a = tanh(W @ x[t] + h[t-1])",
        *(
            f"b{k} = " + balanced([f"{c}*b{k - 1}" if k else c for c in DIGITS[1:] * 6], "+")
            for k in range(3)
        ),
        "h[t] = a * b2",
    ),
    "many lines": cell(
        "a0 = W @ x[t] + h[t-1]",
        *(f"a{k} = tanh(a{k - 1}) * a{k // 2}" for k in range(1, 390)),
        "h[t] = a389",
    ),
    "deep": cell(
        "h[t] = W @ x[t] + " + "tanh(" * (MAX_DEPTH - 4) + "h[t-1]" + ")" * (MAX_DEPTH - 4)
    ),
    "numbers": cell(
        *(f"a{k} = 1 / {10**k + 7} + 1 / {3**k + 2}" for k in range(1, 25)),
        "h[t] = W @ x[t] + h[t-1] * (" + " + ".join(f"a{k}" for k in range(1, 25)) + ")",
        "k = 1e29",
    ),
    "a large number": cell(
        "a0 = 1e29",
        *(f"a{k} = a{k - 1} * a{k - 1}" for k in range(1, 5)),
        "h[t] = W @ x[t] + h[t-1] * a4 * a4 / a4",
    ),
    "many twins": cell(
        "h[t] = W @ x[t] + h[t-1] * (" + " + ".join(f"tanh(b{k})" for k in range(40)) + ")"
    ),
    "ties of signs": cell(
        "h[t] = W @ x[t] + " + " + ".join(f"tanh(a{k} - b{k}) * h[t-1]" for k in range(6))
    ),
    "a ring of weights": cell(
        "h[t] = W @ x[t] + h[t-1] * ("
        + " + ".join(f"v{k} * v{(k + 1) % 7}" for k in range(7))
        + ")"
    ),
}


def check(one):
    text = one.canonical_text
    again = parse_cell(text)
    assert again.canonical_text == text
    assert again.key == one.key
    assert again.fingerprint == one.fingerprint


@pytest.mark.parametrize("name", HOSTILE)
def test_of_hostile_cells(name):
    check(HOSTILE[name])


@pytest.mark.parametrize("name", DEEP)
def test_of_deep_cells(name):
    """They cannot be expanded, and renaming still does not matter."""
    one = DEEP[name]
    check(one)
    assert rename(one, np.random.default_rng(3)).key == one.key
    assert max(map(len, one.canonical_text.splitlines())) <= MAX_LINE


def test_of_random_chains():
    for one in chains(6, seed=1):
        check(one)


@settings(max_examples=25, deadline=None)
@given(cells(max_size=60))
def test_of_random_cells(one):
    check(one)


def products(count, width, *, turned=False, spread=False, names="bd"):
    """A sum of `count` products of two sums, as they are, turned round, or multiplied out."""
    lines = []
    for k in range(count):
        one, other = ([(7 * k + i + j, f"{names[j]}{k}_{i}") for i in range(width)] for j in (0, 1))
        if turned:
            one, other = other[::-1], one[::-1]
        if spread:
            value = " + ".join(f"{n * m} * {p} * {q}" for n, p in one for m, q in other)
        else:
            sums = (" + ".join(f"{n} * {p}" for n, p in part) for part in (one, other))
            value = " * ".join(f"({s})" for s in sums)
        lines.append(f"p{k} = tanh({value})")
    if turned:
        lines.reverse()
    total = " + ".join(line.split()[0] for line in lines)
    return cell(*lines, f"h[t] = tanh(W @ x[t] + U @ h[t-1] + {total})")


def test_products_are_multiplied_out_as_long_as_the_cell_stays_legal():
    assert products(24, 3).key == products(24, 3, spread=True, names="uv").key


def test_products_that_cannot_be_multiplied_out_are_put_in_order():
    assert products(20, 6).key == products(20, 6, turned=True, names="uv").key


def test_products_are_multiplied_out_though_only_names_tell_the_signs():
    parts = [f"tanh(a{k} - b{k})" for k in range(6)]
    whole = cell(f"h[t] = W @ x[t] + h[t-1] * ({' + '.join(parts)})")
    spread = cell("h[t] = W @ x[t] + " + " + ".join(f"{part} * h[t-1]" for part in parts[::-1]))
    assert whole.key == spread.key


def test_up_to_four_ties_of_signs_are_tried_both_ways():
    def tied(count):
        parts = " + ".join(f"tanh(a{k} - b{k})" for k in range(count))
        return cell(f"h[t] = tanh(W @ x[t] + U @ h[t-1] + {parts})")

    assert [canonical._expanded(canonical._legal(tied(n)), MAX_TERMS)[1] for n in (4, 5)] == [
        True,
        False,
    ]


def test_of_forms_that_lead_to_each_other_the_least_is_taken(monkeypatch):
    texts = [cell(f"h[t] = tanh(W @ x[t] + U @ h[t-1] + {n})").text for n in (7, 3, 5, 9)]

    def walk(order):
        following = dict(pairwise(order))
        return lambda self, one: (following.get(one.text, texts[3]), False)

    for cycle in ([0, 1, 2, 0], [0, 2, 1, 0]):  # whatever the first one leads to
        monkeypatch.setattr(canonical._Forms, "first", walk([texts[k] for k in cycle]))
        assert parse_cell(texts[0]).canonical_text == min(texts[:3])


def test_forms_that_never_repeat_are_given_up_in_the_end(monkeypatch):
    read = []

    def endless(self, one):
        read.append(one.text)
        return cell(f"h[t] = tanh(W @ x[t] + U @ h[t-1] + {len(read)})").text, False

    monkeypatch.setattr(canonical._Forms, "first", endless)
    text = cell("h[t] = tanh(W @ x[t] + U @ h[t-1])").canonical_text
    assert len(read) == canonical.MAX_PASSES
    assert text.startswith("cell canonical")
    assert parse_cell(text)


def test_what_stays_as_it_is_written_keeps_its_initial_values():
    lines = (
        "dead = V @ h[t-1]",
        "h[t] = W @ x[t] + U @ (h[t-1] - h[t-1] + 1) + h[t-1]",  # as "map of a number"
    )
    keys = [
        cell(*lines, *inits).key
        for inits in ((), ("init V = identity",), ("init U = identity",), ("init W = normal(1)",))
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    check(cell(*lines, "init U = identity"))
