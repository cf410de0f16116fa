"""`odyssey check` says per row what passed, what is wrong and what is missing."""

from support.plugged import nothing_stays as nothing_stays

PLUGIN = """
import numpy as np
from odyssey.training.metrics import Metric
PROBES = {"dots": lambda text: np.array([c == "." for c in text], dtype=bool),
          "short": lambda text: np.zeros(1)}
METRICS = {"hits": Metric(about="hits", measure=lambda p: float((p.rank == 0).mean()),
                          better="BETTER")}
"""


def test_faults_are_named_row_by_row(odyssey, tmp_path):
    path = tmp_path / "my.py"
    path.write_text(PLUGIN.replace("BETTER", "low"))
    called = odyssey("check", path)
    assert called.code == 1
    lines = called.out.splitlines()
    assert lines[0] == "PROBES dots: 3 of 3 checks passed"
    assert lines[1] == "PROBES short: 0 of 3 checks passed"
    assert "  wrong    a number a symbol: raises ConfigError: probe short: expected 0" in lines[2]
    assert "METRICS hits: 2 of 4 checks passed" in lines
    assert any(line.startswith("  missing  chance: chance is None") for line in lines)
    assert f"{path}: 3 rows, 4 faults; the first: PROBES short" in called.err


def test_json_has_every_check(odyssey, tmp_path):
    path = tmp_path / "my.py"
    path.write_text(PLUGIN.replace("BETTER", "high"))
    called = odyssey("check", path, "--json")
    assert called.code == 1
    assert not called.json["passes"]
    assert len(called.json["sha256"]) == 64
    verdicts = [finding["verdict"] for finding in called.json["findings"]]
    assert (verdicts.count("wrong"), verdicts.count("missing")) == (3, 1)
    broken = tmp_path / "broken.py"
    broken.write_text("PROBES = {")
    called = odyssey("check", broken, "--json")
    assert [f["check"] for f in called.json["findings"]] == ["loads"]
    assert "SyntaxError" in called.err
