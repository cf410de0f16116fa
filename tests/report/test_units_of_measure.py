"""A report names losses by what its tasks are counted by."""

import re

import pytest
from support import fake_runs as fake

from odyssey import load_results
from odyssey.cli.main import main
from odyssey.report.page import tables
from odyssey.report.page.units import counting, per, slash
from odyssey.report.study.files import write_content
from odyssey.report.study.page import read_content
from odyssey.report.study.plots import plot_pareto
from odyssey.statistics import ranking
from odyssey.statistics.pareto import pareto

BYTES, CHARACTERS = {"unit": "bytes", "encoding": ""}, {"unit": "characters", "encoding": "utf-8"}


@pytest.mark.parametrize(
    ("tasks", "words", "heading"),
    [
        ({"book": CHARACTERS, "xml": {}}, "bits per character", "bits/char"),
        ({"enwik8": BYTES, "warpeace": BYTES}, "bits per byte", "bits/byte"),
        ({"book": CHARACTERS, "enwik8": BYTES}, "bits per symbol", "bits/symbol"),
        ({}, "bits per character", "bits/char"),
    ],
)
def test_words_and_headings_follow_the_unit(tmp_path, tasks, words, heading):
    fake.fake_run(tmp_path / "run", members=2, points=3)
    results = ranking.with_labels(load_results(tmp_path / "run"))
    board = ranking.leaderboard(results)
    with counting({"tasks": tasks}):
        assert (per(), slash()) == (words, heading)
        headers = [c.header for c in tables.shown_columns(board).values()]
        assert sum(heading in header for header in headers) >= 3
        assert f"best valid {heading}" in tables.to_markdown(board)
        assert plot_pareto(pareto(results)).get_ylabel() == f"validation {words}"
    assert per() == "bits per character"


def test_no_word_of_a_report_on_bytes_speaks_of_characters(tmp_path, capsys):
    store = fake.fake_run(tmp_path / "run", specs=("gru", "elman"), tasks=("xml",), members=2)
    store.update_run(tasks={"xml": {"task": "xml", "num_symbols": 18, **BYTES}}, baseline="gru")
    with counting(store.run):
        paths = write_content(read_content(store.path))
    assert main(["report", str(store.path)]) == 0
    texts = [p.read_text("utf-8") for p in paths.values() if p.suffix in (".md", ".tex", ".html")]
    texts.append(capsys.readouterr().out)
    assert sum(bool(re.search("bits(/| per )byte", text)) for text in texts) >= 4
    for text in texts:
        assert re.findall(r"\b(?:per |/)char|\bbpc\b", text) == []
