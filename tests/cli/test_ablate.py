"""`odyssey ablate`: from one command to table and page."""

from __future__ import annotations

SMALL = (
    *("--tasks", "xml", "--draws", 2, "--runner", "local"),
    *("--set", "epochs=1", "--set", "updates_per_epoch=2", "--set", "valid_characters=100"),
    *("--set", "test_characters=100", "--set", "space.hidden_size=4"),
)


def test_ablate_runs_and_compares(odyssey, cwd):
    done = odyssey("ablate", "elman", *SMALL, "--out", "run", "--json")
    assert done.code == 0, done.err
    assert len(done.json["leaderboard"]) == 3
    assert 'baseline = "elman"' in (cwd / "run/study.toml").read_text()
    labels = [row["label"] for row in done.json["comparison"]]
    assert labels[0] == "elman"
    assert "elman:no_bias" in labels
    assert "no_bias" in (cwd / "run/comparison.md").read_text()
    page = (cwd / "run/report.html").read_text()
    assert "Against elman" in page
    assert "optimizer adam" in page
    shown = odyssey("report", "run").out
    for words in ("verdict", "2 cells against elman on 2 draws", "this study cannot show"):
        assert words in shown


def test_dry_run_says_what_would_run(odyssey, cwd):
    done = odyssey("ablate", "gru", *SMALL, "--variants", "no_bias,elman", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert (done.json["cells"], done.json["members"]) == (3, 6)
    assert done.json["seconds"] >= 0
    assert done.json["disk_mb"] > 0
    assert list(cwd.iterdir()) == []


def test_set_takes_a_papers_cells_and_overrides(odyssey):
    done = odyssey("ablate", "lstm_peephole", *SMALL, "--set", "odyssey9", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["cells"] == 9


def test_refusals(odyssey):
    for arguments, words in (
        (("--set", "odyssey9", "--set", "jozefowicz10"), "one set of cells"),
        (("--set", "odysey9"), "closest: odyssey9"),
        (("--variants", "no_gate"), "no ablation called"),
        (("--draws", "0"), "draws must be at least 1"),
        (("--match", "size"), "no value of --match called 'size'"),
    ):
        done = odyssey("ablate", "lstm", *arguments)
        assert done.code == 2
        assert words in done.err
        assert done.err.count("\n") == 1
