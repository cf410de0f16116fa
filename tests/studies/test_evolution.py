"""The order of a search, without a runner and a record: what it asks, waits for, tells, resumes."""

import dataclasses
import json
import math
import random

import pytest
from support.fake_training import rows_of, study_text

from odyssey.expr import parse_cell
from odyssey.strategies.registry import STRATEGIES
from odyssey.studies.evolve import evolution
from odyssey.studies.evolve.scores import trial_score
from odyssey.studies.evolve.search import check_search, make_evolution
from odyssey.studies.study import parse_study

LAG, CANDIDATES, SEEDS = 5, 20, 2
MOST = 1 + 2 * 2 + 2 * 1  # trials of a candidate: of the screen, of two draws alone, of three


class Bench:
    """Runs an `Evolution`: any number of trials at once, ended in any order.

    Args:
        strategy: Of the study in `fake_training`.
        known: Scores of an earlier session by trial id.
        late: Trials that were stopped in it.
    """

    def __init__(self, strategy="aging", *, known=(), late=()):
        self.study = parse_study(study_text(strategy, CANDIDATES))
        checked = check_search(self.study)
        self.rows, self.late_rows, self.trials = [], [], {}
        self.pulled = []  # ids, in order
        self.evolution = make_evolution(
            self.study,
            checked.cells,
            checked.facts["sizes"],
            baseline=checked.facts["baseline"],
            known=dict(known),
            late=set(late),
            on_told=lambda row: self.rows.append(row),
            on_late=lambda row: self.late_rows.append(row),
        )

    @property
    def final_rows(self):
        """The rows, in place of which those of the end stand where there are any."""
        late = {row["number"]: row for row in self.late_rows}
        return [late.get(row["number"], row) for row in self.rows]

    def pull(self):
        """Gives the trials that can run now, and whether there may be more."""
        running = []
        for trial in self.evolution:
            if trial is None:
                return running, True
            self.pulled.append(trial.id)
            self.trials[trial.id] = trial
            running.append(trial)
        return running, False

    def run(self, *, order=0, score=lambda trial: trial_score(rows_of(trial)), stop=lambda _: 0):
        """Runs it to the end; `stop` says how often a trial is stopped at its limit."""
        rng, running, more, stopped = random.Random(order), [], True, {}
        while more or running:
            new, more = self.pull()
            running += new
            assert running or not more, "it waits for nothing"
            if not running:
                break
            trial = running.pop(rng.randrange(len(running)) if order else 0)
            if stopped.get(trial.id, 0) < stop(trial):
                stopped[trial.id] = stopped.get(trial.id, 0) + 1
                if self.evolution.postpone(trial.id):
                    continue
                lost = dataclasses.replace(score(trial), nats=math.nan, accuracy=math.nan)
                lost = dataclasses.replace(lost, reason="unmeasured", unmeasured=True)
                self.evolution.learn(trial.id, lost)
            else:
                self.evolution.learn(trial.id, score(trial))
            more = True
        return self


def same(rows, others):
    """Asserts that rows are equal; as text, for NaN to be equal to NaN."""
    assert json.dumps(rows) == json.dumps(others)


@pytest.fixture(scope="module")
def searches():
    return {strategy: Bench(strategy).run() for strategy in STRATEGIES}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_in_which_trials_end_changes_nothing(searches, strategy):
    rows = searches[strategy].rows
    assert [row["number"] for row in rows] == list(range(SEEDS + CANDIDATES))
    same(Bench(strategy).run(order=1).rows, rows)


def test_a_candidate_is_asked_when_those_before_its_lag_are_told():
    bench = Bench()
    search = bench.evolution
    full, waited = 0, 0  # times that it waits for an outcome to ask, and for a trial
    running, more = bench.pull()
    assert search.asked == SEEDS, "the seeds come first"
    while more:
        assert bench.evolution.in_flight == search.asked - search.told
        if search.told >= SEEDS and search.asked < search.total:
            assert search.asked == search.told + LAG
            full += 1
        waited += 1
        trial = running.pop(0)
        search.learn(trial.id, trial_score(rows_of(trial)))
        new, more = bench.pull()
        running += new
    assert full > 10
    assert waited > 50
    assert not running


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_indices_say_whose_trial_it_is(searches, strategy):
    bench = searches[strategy]
    assert len(set(bench.pulled)) == len(bench.pulled), "no trial runs twice"
    numbers = {t: row["number"] for row in bench.rows[::-1] for t in row["trials"].split()}
    assert set(numbers) == set(bench.pulled)
    for trial in bench.trials.values():  # of twins the first runs it
        assert trial.index // MOST == numbers[trial.id]
    assert len({t.index for t in bench.trials.values()}) == len(bench.trials)
    firsts = {numbers[t.id]: t.index for t in list(bench.trials.values())[::-1]}
    assert all(index % MOST == 0 for number, index in firsts.items() if number < SEEDS)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_attempts_are_what_was_refused_and_the_one_that_was_not(searches, strategy):
    rows = [row for row in searches[strategy].rows if row["status"] != "none"]
    refused = [sum(json.loads(row["refused"]).values()) for row in rows]
    assert [row["attempts"] for row in rows] == [n + 1 for n in refused]
    assert max(refused) > 0


def test_candidates_that_are_measured_again_count_their_attempts_too(searches):
    again = [row for row in searches["jozefowicz"].rows if row["again"]]
    assert again
    for row in again:
        first = searches["jozefowicz"].rows[int(row["parents"])]
        assert row["cell_key"] == first["cell_key"]
        assert row["attempts"] == 1 + sum(json.loads(row["refused"]).values())


def test_a_trial_has_a_multiple_of_what_the_seeds_need_for_its_work():
    """Seconds a member, by seed and task; the cell with more operations may take longer."""
    cost = {"gru": {"xml": 4.0, "memorization": 0.1}, "elman": {"xml": 1.5, "arithmetic": 0.3}}

    def taken(trial):
        return cost.get(trial.spec, {}).get(trial.task, 0.2) * len(trial.members)

    def score(trial):
        seconds, found = taken(trial), trial_score(rows_of(trial))
        # an older record does not know the processor time
        processor = math.nan if trial.task == "memorization" else seconds
        seconds = seconds if trial.task == "memorization" else 1e9
        return dataclasses.replace(found, seconds=seconds, processor_seconds=processor)

    bench = Bench().run(score=score)
    work = bench.evolution.sizes.work
    seeds = bench.evolution.seeds
    limited, floored, larger = 0, 0, 0
    for trial in bench.trials.values():
        if trial.spec in seeds:
            assert trial.limit == 0.0
            continue
        mine, expected = work(parse_cell(trial.cell_text)), []
        for name, cell in seeds.items():
            ratios = [m / o for m, o in zip(mine, work(cell), strict=True)]
            larger += max(ratios) > 1
            one = taken(dataclasses.replace(trial, spec=name))
            expected.append(one * max(1.0, *ratios))
        wanted = bench.evolution.plan.limit * max(expected)
        assert trial.limit == pytest.approx(max(evolution.LEAST_LIMIT_SECONDS, wanted), rel=1e-12)
        limited += wanted > evolution.LEAST_LIMIT_SECONDS
        floored += wanted < evolution.LEAST_LIMIT_SECONDS
    assert min(limited, floored, larger) > 3


def lost(trial):
    return trial.spec.startswith("m-") and trial.cell_key[0] in "0123"


def test_what_is_late_is_tried_at_the_end_and_its_row_given_anew(searches):
    once = Bench().run(stop=lost)
    late = {row["number"] for row in once.rows if row["status"] == "unmeasured"}
    assert len(late) > 1
    assert {row["number"] for row in once.late_rows} == late
    assert not any(row["status"] == "unmeasured" for row in once.late_rows)
    assert all("at its limit" in once.rows[n]["reason"] for n in late)
    twice = Bench().run(stop=lambda trial: 2 * lost(trial))
    same(twice.rows, once.rows)
    assert {row["number"] for row in twice.late_rows} == late
    assert {row["status"] for row in twice.late_rows} == {"unmeasured"}
    stopped = {t for t in twice.pulled if twice.pulled.count(t) == 2}
    assert stopped == twice.evolution.late
    assert set(twice.pulled[-len(stopped) :]) == stopped, "when all else is done"
    same(Bench().run(stop=lost, order=1).rows, once.rows)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_finished_search_is_taken_over_whole(searches, strategy):
    before = searches[strategy]
    bench = Bench(strategy, known=before.evolution.known)
    assert bench.evolution.replay(before.rows) == SEEDS + CANDIDATES
    bench.run()
    assert bench.pulled == []
    same(bench.rows, before.rows)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_missing_is_run_again_and_nothing_else(searches, strategy):
    before = searches[strategy]
    firsts = {}
    for row in before.rows:
        for trial in row["trials"].split():
            firsts.setdefault(trial, row["number"])
    for missing in [*list(firsts)[:: len(firsts) // 4], list(firsts)[-1]]:
        known = {t: s for t, s in before.evolution.known.items() if t != missing}
        bench = Bench(strategy, known=known)
        taken = bench.evolution.replay(before.rows)
        assert taken == (firsts[missing] if firsts[missing] >= SEEDS else 0)
        bench.run()
        assert bench.pulled == [missing]
        same(bench.rows, before.rows)


def test_a_gap_in_the_record_ends_what_is_taken_over(searches):
    before = searches["aging"]
    bench = Bench(known=before.evolution.known)
    rows = [row for row in before.rows if row["number"] != 9]
    assert bench.evolution.replay(rows) == 9
    bench.run()
    same(bench.rows, before.rows)


def test_a_search_with_late_trials_is_taken_over():
    before = Bench().run(stop=lambda trial: 2 * lost(trial))
    bench = Bench(known=before.evolution.known, late=before.evolution.late)
    assert bench.evolution.replay(before.final_rows) == SEEDS + CANDIDATES
    bench.run()
    assert bench.pulled == []
    same(bench.final_rows, before.final_rows)
    same(bench.late_rows, before.late_rows)
