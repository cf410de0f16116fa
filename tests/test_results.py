"""What is committed under results/ comes out of its Parquet again, byte for byte."""

import importlib.util
import io
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from support.fake_search import Silent

from odyssey import load_curves, load_results
from odyssey.jobs.search import RUNS as OWN_RUNS
from odyssey.names import file_name
from odyssey.report.page import tables
from odyssey.report.page.units import counting
from odyssey.report.search.content import is_search
from odyssey.report.study import page
from odyssey.specs import get_cell
from odyssey.statistics import factorial, ranking, search
from odyssey.statistics.comparison import compare
from odyssey.statistics.equivalence import with_equivalence
from odyssey.storage import RunStore
from odyssey.storage.candidates import load_candidates
from odyssey.storage.rungs import reached, rung_draws
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.sealed import check_trials, sealed_cells, sealed_study
from odyssey.studies.study import Study

ROOT = Path(__file__).parents[1]
KEPT = sorted(path.parent for path in (ROOT / "results").glob("*/run.json"))
SEARCHES = [path for path in KEPT if is_search(RunStore.open(path).run)]
RUNS = [path for path in KEPT if path not in SEARCHES]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_results_are_data_and_small():
    command = ["git", "ls-files", "-z", "results"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    folders = Counter(path.relative_to(ROOT / "results").parts[0] for path in files)
    assert folders
    assert max(folders.values()) <= 16
    assert sum(path.stat().st_size for path in files) <= 16_000_000
    data = {".parquet", ".json", ".toml", ".cell", ".csv", ".md"}
    figures = [path for path in files if path.suffix not in data]
    assert {path.suffix for path in figures} == {".png"}
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("experiments/*/README.md")]
    text = "".join(page.read_text("utf-8") for page in pages)
    assert [path for path in figures if path.relative_to(ROOT).as_posix() not in text] == []


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_leaderboard_comes_out_byte_for_byte(run):
    board = ranking.leaderboard(ranking.with_labels(load_results(run)))
    assert tables.to_csv(board).encode() == (run / "leaderboard.csv").read_bytes()
    with counting(RunStore.open(run).run):
        text = tables.to_markdown(board)
    assert (run / "leaderboard.md").read_text("utf-8").startswith(text)


COMPARED = [
    (path, baseline)
    for path in RUNS
    for run in [RunStore.open(path).run]
    for baseline in [run.get("baseline"), *run.get("more_baselines", [])]
    if baseline
]


@pytest.mark.parametrize(
    ("run", "baseline"), COMPARED, ids=[f"{path.name}-{name}" for path, name in COMPARED]
)
def test_the_comparison_comes_out_byte_for_byte(run, baseline):
    store, results = RunStore.open(run), load_results(run)
    seed = abs(store.run["seed"])
    found = compare(results, seed=seed, baseline=baseline)
    if margin := store.run.get("margin", 0.0):
        found = with_equivalence(found, results, margin=margin, seed=seed)
    first = baseline == store.run["baseline"]
    path = run / ("comparison.csv" if first else f"comparison-{file_name(baseline)}.csv")
    assert tables.to_csv(found).encode() == path.read_bytes()
    text = tables.to_markdown(tables.comparison_table(found))
    assert path.with_suffix(".md").read_text("utf-8").startswith(text)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_planned_trial_is_kept(run):
    store = RunStore.open(run)
    rows, results = store.rows(), store.results()
    assert rows["trial"].nunique() == store.run["trials"]
    if draws := rung_draws(store.run):  # draws that are lost do not go on
        for _, of_cell in rows.groupby(["spec", "task"]):
            rungs = [len(rung) for rung in reached(of_cell, draws)]
            assert rungs[0] == draws[0]
            assert len(rungs) == len(draws)
            assert sum(rungs) == len(of_cell)
        assert len(rows) <= store.run["members"]
    else:
        assert len(rows) == store.run["members"]
    assert len(results) == len(results.drop_duplicates(["spec", "task", "member"]))
    # every trial has a curve but one whose members were all lost before the first validation
    curves = store.curves(every_rung=True)
    first = curves["update"].loc[lambda update: update > 0].min()
    lasting = rows["diverged_at"].isna() | (rows["diverged_at"] > first)
    assert set(curves["trial"]) == set(rows.loc[lasting, "trial"])


def planned(store):
    """The study of a run and its trials, of a ladder those of the first rung, as it goes on."""
    study = sealed_study(store)
    trials = study.trials(sealed_cells(store))
    check_trials(store, trials)
    return study, trials


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_kept_run_goes_on_where_it_is(run):
    """What is resumed finds its trials by their ids: in the oldest run, none of a cell's file."""
    store = RunStore.open(run)
    _, trials = planned(store)
    named = [t for t in trials if "trial_ids" in store.run or not t.spec.endswith(".cell")]
    assert len(named) > 0
    assert {t.id for t in named} <= set(store.results()["trial"])


@pytest.mark.parametrize("run", SEARCHES, ids=lambda run: run.name)
def test_the_tables_of_a_search_come_out_byte_for_byte(run):
    candidates = load_candidates(run)
    assert (candidates["arm"] != "seed").sum() == RunStore.open(run).run["candidates"]
    trained = {t for row in candidates["trials"] for t in row.split()}
    assert trained == set(load_results(run)["trial"])
    for name in ("arms", "operators", "refused"):
        frame = getattr(search, f"{name}_table")(candidates)
        text = frame.to_csv(index=False, lineterminator="\n")
        assert text.encode() == (run / f"{name}.csv").read_bytes()


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run.name)
def test_no_path_of_a_machine_is_kept(run):
    for path in run.rglob("*"):
        assert path.suffix in (".parquet", ".png", "") or "/tmp/" not in path.read_text("utf-8")
    assert not load_results(run)["spec"].str.startswith("/").any()


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run.name)
def test_a_kept_run_is_the_run(run, tmp_path):
    keep = script(Path("analysis/keep.py")).keep
    keep(run, tmp_path / "copy")
    for load in (load_results, load_curves, load_candidates):
        pd.testing.assert_frame_equal(load(run), load(tmp_path / "copy"))


def test_cells_in_files_lose_their_folder():
    portable = script(Path("analysis/keep.py")).portable
    assert (
        portable('["gru", "/a b/c/m-1.cell", "/n.cell:NOG"]') == '["gru", "m-1.cell", "n.cell:NOG"]'
    )
    assert portable("/a b/c/m-1.cell") == "m-1.cell"
    assert portable("text:/a/book.txt and/or x.cell") == "text:/a/book.txt and/or x.cell"


def test_an_unfinished_run_is_not_kept(tmp_path):
    keep = script(Path("analysis/keep.py"))
    keep.keep(RUNS[0], tmp_path / "run")
    store = RunStore.open(tmp_path / "run")
    with store.lock():
        store.update_run(trials=store.run["trials"] + 1)
    with pytest.raises(keep.StoreError, match="resume it first"):
        keep.keep(tmp_path / "run", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    keep.keep(tmp_path / "run", tmp_path / "copy", unfinished=True)
    assert RunStore.open(tmp_path / "copy").finished() == store.finished()


def test_a_run_whose_cells_lay_in_files_goes_on_in_another_folder(tmp_path, monkeypatch):
    file = tmp_path / "mine.cell"
    file.write_text(get_cell("gru").text.replace("cell gru", "cell mine"))
    study = Study(
        name="kept",
        cells=("elman", str(file), f"{file}:no_bias"),
        baseline=str(file),
        more_baselines=(f"{file}:no_bias",),
        tasks=("xml",),
        training={"epochs": 1, "updates_per_epoch": 2, "valid_characters": 500},
    )
    run = prepare(study, tmp_path / "run")
    execute(run, Silent())
    everything = load_results(run.store.path).set_index("trial")["test_nats"]
    last = run.trials[-1].id
    for shard in (tmp_path / "run").glob(f"*/{last}.parquet"):
        shard.unlink()
    script(Path("analysis/keep.py")).keep(tmp_path / "run", tmp_path / "kept", unfinished=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file.unlink()
    assert execute(reopen(tmp_path / "kept"), Silent()).ran == 1
    again = load_results(tmp_path / "kept").set_index("trial")["test_nats"]
    assert again.to_dict() == everything.to_dict()


def test_the_budget_of_the_odyssey_is_the_pilots():
    pilot = ROOT / "results/odyssey_2015_pilot"
    module = script(Path("experiments/odyssey_2015_pilot/figures.py"))
    shares = module.progress(load_curves(pilot))
    text = shares.to_csv(index=False, lineterminator="\n")
    assert text.encode() == (pilot / "figures/budget.csv").read_bytes()
    at = shares[shares["characters"] == module.BUDGET].set_index("task")["share"]
    assert (at[["arithmetic@digits=4", "xml", "tinyshakespeare"]] >= module.ENOUGH).all()


def test_the_correlations_of_gradient_flow_come_out_byte_for_byte(tmp_path, monkeypatch):
    kept = ROOT / "results/gradient_flow"
    figures = script(Path("experiments/gradient_flow/figures.py"))
    cells = figures.per_cell(pd.read_parquet(kept / "measured.parquet"))
    assert len(cells) == 80
    text = cells.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    assert text.encode() == (kept / "cells.csv").read_bytes()
    monkeypatch.setattr(figures, "RESAMPLES", 10)
    monkeypatch.setattr(figures, "PERMUTATIONS", 10)
    found = figures.correlations(cells)
    said = pd.read_csv(kept / "correlations.csv")
    assert list(found.columns) == list(said.columns)
    assert found["rho"].to_numpy() == pytest.approx(said["rho"].to_numpy(), rel=1e-5)
    assert found["families"].tolist() == said["families"].tolist()
    assert (found["p"].isna() == said["p"].isna()).all()


def test_the_tables_of_units_come_out_byte_for_byte():
    kept = ROOT / "results/units"
    figures = script(Path("experiments/units/figures.py"))
    best = figures.best_table(pd.read_parquet(kept / "scores.parquet"))
    for name, table in (("best", best), ("summary", figures.summary(best))):
        text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        assert text.encode() == (kept / f"{name}.csv").read_bytes()
    quotes = best[(best["corpus"] == "warpeace") & (best["probe"] == "inside_quotes")]
    assert quotes.groupby("name")["found"].sum().to_dict() == {"lstm": 3, "gru": 3, "elman": 0}


def test_what_predicts_the_loss_comes_out_of_what_was_measured(monkeypatch):
    kept = ROOT / "results/predictors"
    figures = script(Path("experiments/predictors/figures.py"))
    cells = figures.joined(kept)
    assert len(cells) == 452
    text = cells.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    said = pd.read_csv(kept / "cells.csv", keep_default_na=False, dtype=str)
    again = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str)
    pd.testing.assert_frame_equal(again, said.drop(columns="predicted"))
    monkeypatch.setattr(figures, "RESAMPLES", 20)  # which only intervals need
    found = figures.single(cells, ["bounded", "horizon 10x"])
    printed = pd.read_csv(kept / "single.csv").set_index(["predictor", "pairs"])["value"]
    for row in found.itertuples():
        assert row.value == pytest.approx(printed[row.predictor, row.pairs], rel=1e-5)
    additive = pd.read_csv(kept / "additive.csv")["value"]
    assert figures.additive(cells)["value"].to_numpy() == pytest.approx(additive, rel=1e-5)
    cells["predicted"] = pd.read_csv(kept / "predicted.csv")["predicted"]
    tau = figures.out_of_sample(cells, {figures.DECIDING: cells["predicted"]})
    models = (
        pd.read_csv(kept / "models.csv")
        .set_index(["model", "predictors", "pairs"])["value"]
        .sort_index()
    )
    assert tau["value"].to_numpy() == pytest.approx(models[figures.DECIDING], abs=1e-5)


def test_what_dropout_does_comes_out_byte_for_byte():
    kept = ROOT / "results/jozefowicz_dropout"
    table = script(Path("experiments/jozefowicz_dropout/figures.py")).settings(kept)
    assert tables.to_csv(table).encode() == (kept / "settings.csv").read_bytes()


def test_the_rule_of_the_promotion_comes_out_byte_for_byte():
    figures = script(Path("experiments/text_search/figures.py"))
    table = figures.comparisons(figures.promoted(ROOT / "results/text_search"))
    kept = ROOT / "results/text_search/rule.csv"
    assert tables.to_csv(table).encode() == kept.read_bytes()
    won = figures.wins(table)
    assert (won["can_reach"] - won["won"] == figures.TASKS - won["of"]).all()


FACTORIALS = [path for path in RUNS if RunStore.open(path).run.get("factorial")]


@pytest.mark.parametrize("run", FACTORIALS, ids=lambda run: run.name)
def test_the_effects_of_a_factorial_come_out_byte_for_byte(run):
    kept = RunStore.open(run).run
    results = ranking.with_labels(load_results(run))
    found = factorial.factorial_effects(results, kept["factorial"], seed=abs(kept["seed"]))
    assert tables.to_csv(found).encode() == (run / "factorial.csv").read_bytes()


def test_correlation_of_known_orders():
    figures = script(Path("experiments/gradient_flow/figures.py"))
    x = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, float("inf")])
    alone = pd.Series(list("abcdefgh"))
    rho, low, high, p = figures.correlate(x, -x.rank(), alone)
    assert (rho, low, high) == (pytest.approx(-1), pytest.approx(-1), pytest.approx(-1))
    assert p < 0.001


def test_kin_are_no_independent_evidence(monkeypatch):
    figures = script(Path("experiments/gradient_flow/figures.py"))
    monkeypatch.setattr(figures, "PERMUTATIONS", 100)
    # Two cells without a relation, and six copies of a third: as single cells they look like one.
    x = pd.Series([2.0, 1.0, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5])
    y = pd.Series([1.0, 2.0, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5])
    as_single = figures.correlate(x, y, pd.Series(list("abcdefgh")))
    as_kin = figures.correlate(x, y, pd.Series(list("abcccccc")))
    assert as_single[0] == as_kin[0]
    assert as_single[3] < 0.05
    assert pd.isna(as_kin[3])
    assert as_kin[1] < as_single[1]
    assert all(map(pd.isna, figures.correlate(x, y, pd.Series(["a"] * 8))[1:]))
    assert figures.family_of("lstm_peephole:no_bias") == figures.family_of("lstm_peephole")


def test_what_is_said_of_pictures_comes_out_byte_for_byte():
    kept = ROOT / "results/captions"
    found = script(Path("experiments/captions/figures.py")).margins(load_results(kept))
    text = found.to_csv(index=False, lineterminator="\n")
    assert text.encode() == (kept / "margins.csv").read_bytes()
    kept = ROOT / "results/house_numbers"
    runs = [load_results(path) for path in (kept, kept.with_name("house_numbers_first"))]
    shown = script(Path("experiments/house_numbers/figures.py")).read(pd.concat(runs))
    text = shown.to_csv(index=False, lineterminator="\n")
    assert text.encode() == (kept / "figures/exact.csv").read_bytes()


STREAMS = ["karpathy_2015/streams", "karpathy_2015_gpu_lstm", "karpathy_2015_gpu_gru"]


@pytest.mark.parametrize(
    ("runs", "kept_as"),
    [(["karpathy_2015"], "table.csv"), (STREAMS, "streams.csv")],
)
def test_the_table_of_karpathy_comes_out_byte_for_byte(runs, kept_as):
    kept = ROOT / "results/karpathy_2015"
    figures = script(Path("experiments/karpathy_2015/figures.py"))
    found = figures.table(*figures.read([kept.parent / run for run in runs]))
    text = found.to_csv(index=False, lineterminator="\n", float_format="%.4f")
    assert text.encode() == (kept / kept_as).read_bytes()
    assert len(found) == 27


def test_what_karpathys_figure_shows_is_beside_it():
    kept = ROOT / "results/karpathy_2015"
    figures = script(Path("experiments/karpathy_2015/figures.py"))
    passes = figures.falling(load_results(kept / "run"), load_curves(kept / "run"))
    text = pd.read_csv(kept / "figures/passes.csv")
    assert passes["valid"].to_numpy() == pytest.approx(text["valid"].to_numpy())


UNFINISHED = sorted(
    path.parent
    for path in (ROOT / "results").glob("*/*/run.json")
    if path.parents[1] != ROOT / OWN_RUNS  # git ignores them; `make search` leaves one
)


@pytest.mark.parametrize("run", UNFINISHED, ids=lambda run: f"{run.parent.name}-{run.name}")
def test_a_run_that_was_stopped_can_go_on(run):
    """Its trials are those that its study plans now, some finished and none of them another's."""
    store = RunStore.open(run)
    study, first = planned(store)
    assert len(study.ladder_of(first).every) == store.run["trials"]
    done = store.results()
    begun = set(done.loc[done["rung"] == 1, "trial"]) if study.ladder else store.finished()
    assert set() < begun <= {trial.id for trial in first}


def test_figures_know_the_operations_of_records_from_before_there_was_a_column(monkeypatch):
    drawn = []
    monkeypatch.setattr(page.figures, "pictures", lambda rows, *_, **__: drawn.append(rows) or [])
    page.read_content(ROOT / "results/odyssey_2015_pilot")
    assert drawn[0]["operations"].notna().all()
