"""The example of docs/plugins.md passes its checks, and a search under Ray uses what it adds."""

from pathlib import Path

import pandas as pd
import pytest
from support.plugged import forget

from odyssey.cli.main import main
from odyssey.plugins import loaded
from odyssey.plugins.source import read_source
from odyssey.plugins.tables import TABLES
from odyssey.storage import load_results
from odyssey.storage.candidates import load_candidates
from odyssey.storage.store import RunStore

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "plugin"


def test_it_passes_its_checks_and_has_a_row_in_every_table(capsys):
    assert main(["check", str(EXAMPLE / "my.py")]) == 0
    said = capsys.readouterr().out
    assert "nothing wrong; 1 optional part missing" in said
    assert {line.partition(" ")[0] for line in said.splitlines() if ":" in line} >= set(TABLES)


@pytest.mark.ray
def test_a_search_under_ray_uses_what_it_adds(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["search", str(EXAMPLE / "study.toml"), "--out", str(run)]) == 0
    facts, rows = RunStore(run).run, load_results(run)
    assert facts["plugins"]["my"]["sha256"] == read_source(str(EXAMPLE / "my.py")).sha256
    assert (run / "plugins/my/radial.cell").read_text() == (EXAMPLE / "radial.cell").read_text()
    assert (rows["status"] == "ok").all(), rows["reason"].tolist()
    assert set(rows["task"]) == {"majority"}
    seeds = rows[rows["spec"].isin(["radial", "radial:half_gate=z"])]
    assert len(seeds) == 2
    assert seeds["cell_text"].str.contains("gauss").all()
    assert (rows["metric.top2"] >= rows["test_accuracy"]).all()
    assert {"hill", "random"} < set(load_candidates(run)["arm"])
    forget()
    text = tmp_path / "read.txt"
    text.write_text("abaab>a.bbaba>b.aabba>a.babbb>b." * 20)
    units = ["units", str(run), "--cell", "radial", "--shifts", "9", "--text", str(text)]
    assert main([*units, "--out", str(tmp_path / "units")]) == 0
    assert [source.name for source in loaded()] == ["my"]
    assert "vowels" in set(pd.read_csv(tmp_path / "units" / "scores.csv")["probe"])
