"""Every strategy keeps one contract, and does better than chance where it should."""

from dataclasses import replace

import numpy as np
import pytest

from odyssey.contracts.strategies import BITS, CHECKS, BitBreeder, bit_outcome
from odyssey.errors import ConfigError
from odyssey.strategies.nsga2 import ParetoSearch, crowding, fronts
from odyssey.strategies.registry import STRATEGIES, check_options, make_strategy, strategy_options


def seeds():
    return [bit_outcome(n, text * (BITS // 2), seed=True) for n, text in enumerate(["00", "01"])]


def run(name, *, steps, seed=1, lag=1, **options):
    """Gives what was proposed, one after another; told `lag` steps late."""
    strategy = make_strategy(name, BitBreeder(), options)
    for one in seeds():
        strategy.tell(one)
    proposals, told = [], 0
    for step in range(steps):
        while told <= step - lag:
            p = proposals[told]
            strategy.tell(bit_outcome(told + 2, p.text, again=p.again))
            told += 1
        proposals.append(strategy.ask(np.random.default_rng([seed, step])))
    return proposals


def best(proposals):
    return max(p.text.count("1") for p in proposals)


@pytest.mark.parametrize("says", CHECKS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_row_keeps_the_contract(name, says):
    CHECKS[says](name, STRATEGIES[name])


@pytest.mark.parametrize("name", STRATEGIES)
def test_asking_changes_nothing(name):
    strategy, twin = (make_strategy(name, BitBreeder(), {}) for _ in range(2))
    for number in range(40):
        text = f"{number * 2654435761 % 2**BITS:0{BITS}b}"
        for one in (strategy, twin):
            one.tell(bit_outcome(number, text, seed=number < 2))
        for attempt in range(3):
            strategy.ask(np.random.default_rng([number, attempt]))
        rngs = [np.random.default_rng([7, number]) for _ in range(2)]
        assert strategy.ask(rngs[0]) == twin.ask(rngs[1])


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("again", [False, True])
def test_what_does_not_breed_has_no_children(name, again):
    """However good it looks, and also when it was known: nothing changes by what has failed."""
    strategy, twin = (make_strategy(name, BitBreeder(), {}) for _ in range(2))
    for number in range(60):
        text = f"{number * 2654435761 % 2**BITS:0{BITS}b}"
        one = bit_outcome(number, text, seed=number < 2)
        failed = bit_outcome(100 + number, "1" * BITS, passed=9, score=9.0, cost=0.0, breeds=False)
        strategy.tell(one)
        twin.tell(one)
        strategy.tell(replace(one, score=9.0, breeds=False, again=True) if again else failed)
        rngs = [np.random.default_rng([8, number]) for _ in range(2)]
        proposal = strategy.ask(rngs[0])
        assert proposal == twin.ask(rngs[1])
        assert all(parent < 100 for parent in proposal.parents)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("lag", [1, 8])
def test_the_same_stream_gives_the_same_search(name, lag):
    assert run(name, steps=60, lag=lag) == run(name, steps=60, lag=lag)
    assert run(name, steps=60, lag=lag) != run(name, steps=60, lag=lag, seed=2)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "random"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_learning_beats_chance_on_one_max(name, seed):
    counts = {n: v for n, v in strategy_options(name).items() if isinstance(v, int)}
    few = {n: max(1, v // 5) for n, v in counts.items()}  # for so few steps
    learned = run(name, steps=600, lag=8, seed=seed, **few)
    chance = run("random", steps=600, lag=8, seed=seed)
    assert best(learned) >= best(chance) + 2
    assert best(learned[-100:]) > best(learned[:100])


def test_random_search_does_not_learn():
    first = make_strategy("random", BitBreeder(), {})
    second = make_strategy("random", BitBreeder(), {})
    for one in seeds():
        first.tell(one)
        second.tell(one)
    for number in range(50):
        second.tell(bit_outcome(number + 2, "1" * BITS))
    rngs = [np.random.default_rng(3) for _ in range(2)]
    for _ in range(50):
        assert first.ask(rngs[0]) == second.ask(rngs[1])


def test_random_search_draws_from_scratch_and_from_seeds():
    made = run("random", steps=400, scratch=0.25, mutations=2)
    scratch = sum(p.operators == ("scratch",) for p in made)
    assert 70 <= scratch <= 130
    flips = [len(p.operators) for p in made if p.operators[0] == "flip"]
    assert set(flips) == {1, 2}
    assert {p.parents for p in made if p.parents} == {(0,), (1,)}


def test_aging_forgets_the_oldest_however_good():
    strategy = make_strategy("aging", BitBreeder(), {"population": 3, "sample": 3})
    for number in range(4):
        strategy.tell(bit_outcome(number, "0" * BITS, score=10.0 - number))
    parents = {strategy.ask(np.random.default_rng(n)).parents for n in range(20)}
    assert parents == {(1,)}  # the best of those that live: 0 is dead


def test_aging_prefers_stages_to_scores():
    strategy = make_strategy("aging", BitBreeder(), {"population": 3, "sample": 3})
    strategy.tell(bit_outcome(0, "0" * BITS, score=2.0, passed=0))
    strategy.tell(bit_outcome(1, "0" * BITS, score=0.9, passed=2))
    assert strategy.ask(np.random.default_rng(0)).parents == (1,)


@pytest.mark.parametrize("sample", [2, 5])
def test_of_equals_aging_takes_the_older(sample):
    """Whichever the sample holds, in whatever order it was drawn."""
    strategy = make_strategy("aging", BitBreeder(), {"population": 5, "sample": sample})
    for number in range(5):
        strategy.tell(bit_outcome(number, "0" * BITS, score=0.5))
    for seed in range(20):
        drawn = np.random.default_rng(seed).choice(5, size=sample, replace=False)
        assert strategy.ask(np.random.default_rng(seed)).parents == (min(drawn),)


@pytest.mark.parametrize("name", [n for n in STRATEGIES if "mutations" in strategy_options(n)])
@pytest.mark.parametrize("most", [1, 3])
def test_a_parent_is_mutated_once_to_as_often_as_allowed(name, most):
    strategy = make_strategy(name, BitBreeder(), {"mutations": most})
    for one in seeds():
        strategy.tell(one)
    made = [strategy.ask(np.random.default_rng(n)).operators for n in range(80)]
    assert {len(o) for o in made if o[0] == "flip"} == set(range(1, most + 1))


def test_of_equals_the_top_list_keeps_the_older():
    strategy = make_strategy("jozefowicz", BitBreeder(), {"size": 3, "again": 0.0})
    for number in range(6):
        strategy.tell(bit_outcome(number, f"{number:0{BITS}b}", score=0.5))
    parents = {strategy.ask(np.random.default_rng(n)).parents[0] for n in range(40)}
    assert parents == {0, 1, 2}


def test_the_top_list_holds_the_best_once():
    strategy = make_strategy("jozefowicz", BitBreeder(), {"size": 3, "again": 0.0})
    for number, score in enumerate([0.1, 0.9, 0.5, 0.7, 0.2]):
        strategy.tell(bit_outcome(number, f"{number:0{BITS}b}", score=score))
    parents = {strategy.ask(np.random.default_rng(n)).parents[0] for n in range(60)}
    assert parents == {1, 2, 3}


def test_measuring_again_keeps_the_better_score():
    strategy = make_strategy("jozefowicz", BitBreeder(), {"size": 2, "again": 1.0})
    texts = [f"{n:0{BITS}b}" for n in range(4)]
    for number, score in enumerate([0.5, 0.4]):
        strategy.tell(bit_outcome(number, texts[number], score=score))
    asked = strategy.ask(np.random.default_rng(0))
    assert (asked.again, asked.operators) == (True, ("again",))
    strategy.tell(bit_outcome(7, texts[1], score=0.6, again=True))  # now the best
    strategy.tell(bit_outcome(8, texts[0], score=0.1, again=True))  # worse than known: no change
    strategy.tell(bit_outcome(9, texts[2], score=0.55))  # drops 0
    strategy.tell(bit_outcome(10, texts[0], score=9.0, again=True))  # has left the list
    parents = {strategy.ask(np.random.default_rng(n)).parents[0] for n in range(40)}
    assert parents == {1, 9}


def test_seeds_are_not_measured_again():
    strategy = make_strategy("jozefowicz", BitBreeder(), {"again": 1.0})
    for one in seeds():
        strategy.tell(one)
    assert not any(strategy.ask(np.random.default_rng(n)).again for n in range(20))


def brute_force_fronts(values):
    left, found, level = set(range(len(values))), [0] * len(values), 0
    while left:
        free = {
            i
            for i in left
            if not any(
                all(a >= b for a, b in zip(values[j], values[i], strict=True))
                and tuple(values[j]) != tuple(values[i])
                for j in left
            )
        }
        for i in free:
            found[i] = level
        left, level = left - free, level + 1
    return found


@pytest.mark.parametrize("seed", range(20))
def test_fronts_are_those_of_the_definition(seed):
    values = np.random.default_rng(seed).integers(0, 6, (30, 2)).astype(float)
    assert fronts(values).tolist() == brute_force_fronts(values.tolist())


def test_crowding_by_hand():
    values = np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 1.0], [4.0, 0.0], [0.0, 0.0]])
    found = crowding(values, np.array([0, 0, 0, 0, 1]))
    assert found[[0, 3, 4]].tolist() == [np.inf] * 3
    assert found[1] == pytest.approx(2 / 4 + 3 / 4)
    assert found[2] == pytest.approx(3 / 4 + 3 / 4)


def test_nsga2_keeps_the_front():
    """Score and cost pull apart: the front is every number of ones in the first half."""
    strategy = ParetoSearch(BitBreeder(), population=30)
    for one in seeds():
        strategy.tell(one)
    for number in range(2, 800):
        proposal = strategy.ask(np.random.default_rng([5, number]))
        strategy.tell(bit_outcome(number, proposal.text))
    costs = {o.cost for o in strategy.front}
    assert len(costs) >= 10
    assert all(o.score * BITS == o.cost + 12 for o in strategy.front)  # the second half is full


def test_options_are_checked():
    assert strategy_options("aging") == {"population": 100, "sample": 25, "mutations": 1}
    for name, options, message in [
        ("agin", {}, "closest: aging"),
        ("aging", {"popul": 3}, "closest: population"),
        ("aging", {"population": 0}, "whole number from 1"),
        ("aging", {"population": True}, "whole number from 1"),
        ("aging", {"sample": 2.5}, "whole number from 1"),
        ("random", {"scratch": 1.5}, "share from 0 to 1"),
        ("nsga2", {"crossover": "much"}, "share from 0 to 1"),
    ]:
        with pytest.raises(ConfigError, match=message):
            check_options(name, options)
        with pytest.raises(ConfigError, match=message):
            make_strategy(name, BitBreeder(), options)
