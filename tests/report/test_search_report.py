"""The report of a search: known answers for its numbers, and a page that holds what it should."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from support.fake_search import search

from odyssey.cli.main import main
from odyssey.report.search.content import nearest_cell, read_search
from odyssey.report.search.page import write_search
from odyssey.statistics import search as st
from odyssey.statistics.pareto import is_efficient
from odyssey.storage.candidates import load_candidates


def frame(rows):
    """Gives candidates with what a test does not say filled in."""
    common = {
        "arm": "aging",
        "status": "finished",
        "passed": 2,
        "parents": "",
        "operators": "",
        "refused": "{}",
        "refused_operators": "{}",
        "missed_operators": "{}",
        "scores": "{}",
        "stage": "full",
        "again": 0,
        "audited": 0,
        "attempts": 1,
        "characters": 1.0,
        "score": 1.0,
        "twin": None,
    }
    made = [{"number": n, "cell_key": str(n), **common, **row} for n, row in enumerate(rows)]
    return pd.DataFrame(made).assign(score=lambda f: f["score"].astype(float))


def test_the_best_so_far_counts_finished_candidates_only():
    rows = frame(
        [
            {"score": 0.9, "characters": 5.0},
            {"score": 1.3, "characters": 2.0, "status": "stopped"},
            {"score": 1.2, "characters": 3.0},
            {"score": 1.1, "characters": 1.0},
        ]
    )
    path = st.best_so_far(rows, start=1.0)
    assert path["best"].tolist() == [1.0, 1.0, 1.0, 1.2, 1.2]
    assert path["characters"].tolist() == [0.0, 5.0, 7.0, 10.0, 11.0]


def test_the_band_is_that_of_drawing_without_replacement():
    """Ten candidates of one cost; after n of them the best is there with chance n / 10."""
    rows = frame([{"score": 1.0 + n / 10} for n in range(10)])
    band = st.random_band(rows, start=1.0, rng=np.random.default_rng(0), resamples=4000)
    half = band[band["characters"] <= 5.0].iloc[-1]
    assert half["high"] == pytest.approx(1.9)
    # P(max of 4 <= v) = C(v + 1, 4) / C(10, 4): the median is the value of 8, the 5 % that of 5
    four = band[band["characters"] < 5.0].iloc[-1]
    assert four["median"] == pytest.approx(1.8)
    assert four["low"] == pytest.approx(1.5)
    assert (band["low"] <= band["median"]).all()
    assert band.iloc[-1][["low", "median", "high"]].tolist() == [1.9] * 3
    assert band.iloc[0][["low", "median", "high"]].tolist() == [1.0] * 3


def test_a_duel_is_fought_at_half_the_budget():
    mine = [{"score": 2.0}, *[{"score": 1.0}] * 9]
    chance = [{"score": 1.0 + n / 100, "arm": "random"} for n in range(10)]
    rows = frame(mine + chance)
    band = st.random_band(rows[rows["arm"] == "random"], start=1.0, rng=np.random.default_rng(0))
    duel = st.duel(rows, strategy="aging", start=1.0, band=band)
    assert (duel.characters, duel.final_characters) == (5.0, 10.0)
    assert duel.verdict.startswith("above")
    assert (duel.final_best, duel.final_random) == (2.0, 1.09)
    # 2.0 beats all ten; the nine 1.0 tie with one and beat none
    assert duel.superiority.estimate == pytest.approx((10 + 9 * 0.5) / 100)


def test_only_new_cells_count_against_random_search():
    mine = [{"score": 1.5}, {"score": 1.0}]
    chance = [{"score": 1.0 + n / 100, "arm": "random"} for n in range(10)]
    known = [{"score": 3.0, "again": 1}] * 5
    nothing = [{"score": np.nan, "status": "none", "cell_key": ""}] * 5
    band = st.random_band(
        frame(chance)[lambda f: f["arm"] == "random"], start=1.0, rng=np.random.default_rng(0)
    )
    plain, more = (
        st.duel(frame(rows + chance), strategy="aging", start=1.0, band=band)
        for rows in (mine, mine + known + nothing)
    )
    assert more.superiority == plain.superiority
    assert plain.superiority.estimate == pytest.approx((10 + 0.5) / 20)
    assert more.final_best == plain.final_best == 1.5


def scored(*scores, **given):
    return {"scores": json.dumps(dict(zip(("short", "long"), scores, strict=False))), **given}


def test_the_noise_of_a_score_by_hand():
    rows = [scored(0.8 + n / 10, cell_key=f"k{n}") for n in range(5)]
    rows += [scored(9.0, cell_key="seed", arm="seed"), scored(None, cell_key="failed")]
    rows += [
        scored(0.84, 0.5, cell_key="k0", again=1),
        scored(0.86, cell_key="k0", again=1),
        scored(1.0, cell_key="k1", again=1),
        scored(9.5, cell_key="seed", again=1),
        scored(5.0, cell_key="k2", twin=3),  # the trials of another: no measurement of its own
    ]
    (short, long) = st.fitness_noise(frame(rows), ["screen", "short", "long"]).to_dict("records")
    squares = 2 * 0.05**2 + 2 * 0.25**2 + np.var([0.8, 0.84, 0.86]) * 3
    expected = squares / (7 - 3)
    assert (short["stage"], short["cells"], short["again"], short["measurements"]) == (
        "short",
        5,
        3,
        7,
    )
    assert short["noise"] == pytest.approx(expected**0.5)
    assert short["spread"] == pytest.approx(np.std([0.8, 0.9, 1.0, 1.1, 1.2], ddof=1))
    assert short["reliability"] == max(0.0, 1 - expected / short["spread"] ** 2)
    assert (long["stage"], long["cells"], long["again"]) == ("long", 0, 0)
    assert np.isnan([long["noise"], long["reliability"]]).all()
    (none,) = st.fitness_noise(frame(rows[:5]), ["short"]).to_dict("records")
    assert none["spread"] > 0
    assert np.isnan([none["noise"], none["noise_high"], none["reliability"]]).all()


def test_the_reliability_is_the_correlation_of_two_measurements():
    rng = np.random.default_rng(1)
    true = 1 + 0.03 * rng.standard_normal(400)
    first, second = true + 0.02 * rng.standard_normal((2, 400))
    rows = [scored(s, cell_key=f"k{n}") for n, s in enumerate(first)]
    rows += [scored(s, cell_key=f"k{n}", again=1) for n, s in enumerate(second[:60])]
    (found,) = st.fitness_noise(frame(rows), ["short"]).to_dict("records")
    assert found["noise_low"] < 0.02 < found["noise_high"]
    assert found["reliability_low"] < 9 / 13 < found["reliability_high"]
    assert found["reliability"] == pytest.approx(np.corrcoef(first, second)[0, 1], abs=0.1)


def test_the_pareto_front_by_hand():
    rows = frame(
        [
            {"score": 1.0, "cost": 5.0},
            {"score": 0.8, "cost": 2.0},
            {"score": 0.7, "cost": 3.0},
            {"score": 1.0, "cost": 6.0},
            {"score": 1.2, "cost": 9.0},
        ]
    )
    front = is_efficient(rows["cost"], -rows["score"])
    assert front.tolist() == [True, True, False, False, True]


def test_operators_are_counted_by_hand():
    rows = frame(
        [
            {"score": 1.0, "arm": "seed", "operators": "seed"},
            {"score": 1.1, "parents": "0", "operators": "a b", "missed_operators": '{"b": 2}'},
            {"score": 0.9, "parents": "1", "operators": "a", "refused_operators": '{"a": 1}'},
            {"score": 2.0, "parents": "1", "operators": "b", "passed": 1, "status": "stopped"},
            {"score": 1.0, "operators": "scratch"},
        ]
    )
    table = st.operators_table(rows).set_index("operator")
    assert table.loc["a"].tolist()[:5] == [3, 1.0, 2, 2, 1]
    assert table.loc["b"].tolist()[:5] == [4, 0.5, 2, 1, 1]
    assert table.loc["scratch", "better than parent"] == 0
    assert "seed" not in table.index


def test_an_audit_by_hand():
    rows = frame(
        [{"score": 1.0 + n / 10, "scores": f'{{"a": {n}, "full": {1 + n / 10}}}'} for n in range(3)]
        + [
            {"score": 9.0, "status": "stopped", "stage": "a", "audited": 1, "scores": s}
            for s in ('{"a": -1, "full": 0.5}', '{"a": -2, "full": 1.15}')
        ]
        + [{"score": 9.0, "status": "stopped", "stage": "a", "scores": '{"a": -3}'}]
    )
    (audit,) = st.audits(rows, ["a", "full"], top=2)
    assert (audit.stopped, audit.audited, audit.would_be_top) == (3, 2, 1)
    assert (audit.low, audit.high) == pytest.approx((0.0126, 0.9874), abs=1e-4)
    # of ten pairs (1.0, 1.15), (1.1, 1.15) and (0.5, 1.15) stand the other way round
    assert audit.pairs == 5
    assert audit.tau == pytest.approx((10 - 2 * 3) / 10)


def test_the_nearest_cell():
    library = {
        "one": "cell one\ninput x\nstate h\n\nh[t] = tanh(W @ x[t] + U @ h[t-1])\n\noutput h\n",
        "two": "cell two\ninput x\nstate h\n\nh[t] = sin(W @ x[t] + U @ h[t-1])\n\noutput h\n",
    }
    name, change = nearest_cell(library["two"].replace("cell two", "cell mine"), library)
    assert name == "two"
    assert {kind for kind, _ in change} == {"same"}
    assert nearest_cell(library["one"].replace("tanh", "relu"), library)[0] in library


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "run"
    search(folder, "aging", 16)
    return folder


@pytest.fixture(scope="module")
def written(finished):
    """The report of it: paths, and the bytes of the page."""
    paths = write_search(read_search(finished))
    return paths, paths["report"].read_bytes()


def test_the_page_holds_what_was_found(finished, written):
    paths, _ = written
    page = paths["report"].read_text()
    content = read_search(finished)
    assert content.best
    for cell in content.best:
        assert cell.name in page
    assert "These are candidates, not results" in page
    assert not re.search(r'(src|href)="http', page)
    assert page.count("<figure>") == 3
    names = {p.name for p in paths["figures"].iterdir()}
    for name in ("progress", "pareto", "lineage"):
        assert {f"{name}.{s}" for s in ("png", "pdf", "csv")} <= names


def test_the_same_search_makes_the_same_report(finished, written):
    assert write_search(read_search(finished))["report"].read_bytes() == written[1]


def test_report_and_status_from_the_command_line(finished, capsys):
    assert main(["report", str(finished), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = load_candidates(finished)
    assert report["best"][0]["score"] == rows[rows["status"] == "finished"]["score"].max()
    elsewhere = finished.parent / "elsewhere"
    assert main(["report", str(finished), "--to", str(elsewhere)]) == 0
    assert f"report: {elsewhere / 'report.html'}" in capsys.readouterr().out
    assert (elsewhere / "best.csv").exists()
    assert main(["status", str(finished), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["told"], status["active"]) == (len(rows), False)
    assert main(["status", str(finished)]) == 0
    assert "not running" in capsys.readouterr().out


def test_a_search_reports_before_it_has_ended(finished, tmp_path):
    """Three candidates told, none of them through."""
    import shutil

    from odyssey.storage.candidates import CandidateLog

    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    rows = list(CandidateLog(folder).rows())[:3]
    shutil.rmtree(folder / "candidates")
    log = CandidateLog(folder)
    for row in rows:
        log.append(row)
    log.flush()
    assert write_search(read_search(folder))["report"].exists()
