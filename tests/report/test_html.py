"""The page and the files: self-contained, escaped, and there for any run that has a trial."""

from __future__ import annotations

import functools
import html.parser
import os
import re
import shutil
import subprocess
import sys

import pytest
from support.fake_runs import fake_run, fake_trial

from odyssey import load_curves, load_results
from odyssey.cli.main import main
from odyssey.errors import StoreError
from odyssey.report.page.entries import equations_html
from odyssey.report.study.files import write_content
from odyssey.report.study.page import read_content
from odyssey.report.study.pictures import pictures
from odyssey.storage import RunStore

VOID = {"meta", "img", "br", "link", "hr"}


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and collects ids, links, sources and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.tags = [], [], [], [], set()
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@functools.cache
def figures_of(run):
    """Gives the names of the figures that the records of a run make, at least four a task."""
    found = [p.name for p in pictures(load_results(run), load_curves(run), seed=1)]
    assert len(found) >= 4
    return found


@pytest.fixture(scope="module")
def written(store, tmp_path_factory):
    copy = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(store.path, copy)
    return write_content(read_content(copy))


@pytest.fixture(scope="module")
def page(written):
    return Page(written["report"].read_text(encoding="utf-8"))


def test_page_is_self_contained(page, store):
    assert len(page.sources) == len(figures_of(store.path)) >= 8
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(set(page.ids)) == len(page.ids)


@pytest.mark.parametrize(
    "words",
    [
        "Which parts of the LSTM matter? <b>&",
        "Loss and accuracy count the answer",
        "Lowest on arithmetic, untested: lstm_peephole:",
        "96 (4 a cell and task), 6 diverged, 4 failed",
        "95 % Student t interval",
        "or is worse than guessing, counts as guessing",
        "Made as lstm_peephole → no_forget_gate.",
        "- c[t] = f * c[t-1] + i * g",
        "+ c[t] = c[t-1] + i * g",
        "The same equations as lstm_peephole.",
        "out of memory",
        "loss is not finite",
        "odyssey 0.1.0, python 3.11.9, torch 2.13.0",
        "0123abc+",
        "odyssey search study.toml",
        'description = "Which parts matter? <b>&"',
        "4 min 5 s",
        "0.01904",
    ],
)
def test_page_tells(page, words):
    assert words in page.words


def test_page_shows_equations_as_mathematics(page):
    assert re.search(r"ct=ft ⊙ ct−1 \+ it ⊙ gt", page.words)
    assert "sub" in page.tags


def test_text_that_is_no_cell_is_shown_as_it_is():
    assert equations_html("not <a> cell") == "<pre>not &lt;a&gt; cell</pre>"


def test_hostile_names_are_escaped(tmp_path):
    store = RunStore.create(
        tmp_path / "run",
        study="</pre><script>alert(1)</script>",
        run={"study": "<script>", "description": "<img src=x>", "versions": {"a": "<i>"}},
    )
    rows, curves = fake_trial(0, "<script>x</script>", "xml<script>")
    for row in rows:
        row |= {"reason": "<script>", "cell_text": "<script>", "lineage": "a > <script>"}
    store.write("0", rows, curves)
    page = Page(write_content(read_content(store.path))["report"].read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "</pre><script>alert(1)</script>" in page.words
    assert len(page.sources) == len(figures_of(store.path))


def test_a_report_writes_all_its_files(written, store):
    paths = written
    assert paths["report"].name == "report.html"
    assert paths["leaderboard_csv"].read_text().count("\n") == 25
    markdown = paths["leaderboard_md"].read_text(encoding="utf-8")
    assert re.findall("^### .*", markdown, re.MULTILINE) == [
        "### arithmetic",
        "### xml",
        "### overall",
    ]
    assert "comparison_csv" not in paths  # the study names no baseline
    files = sorted(p.name for p in paths["figures"].iterdir())
    names = figures_of(store.path)
    assert files == sorted(f"{name}.{s}" for name in names for s in ("csv", "pdf", "png"))


def test_a_report_goes_where_it_is_asked_to(tmp_path, capsys):
    store = fake_run(tmp_path / "run", specs=("gru", "elman"), tasks=("xml",), points=9)
    before = sorted(store.path.rglob("*"))
    assert main(["report", str(store.path), "--to", str(tmp_path / "a/b")]) == 0
    assert f"report: {tmp_path / 'a/b/report.html'}" in capsys.readouterr().out
    assert {"report.html", "leaderboard.md", "figures"} <= set(os.listdir(tmp_path / "a/b"))
    assert sorted(store.path.rglob("*")) == before


def test_smallest_run(tmp_path):
    store = fake_run(tmp_path / "run", specs=("gru",), tasks=("xml",), members=1, points=1)
    paths = write_content(read_content(store.path))
    page = Page(paths["report"].read_text(encoding="utf-8"))
    assert len(page.sources) == len(figures_of(store.path))
    assert "overall" not in page.ids


def test_run_in_which_everything_failed(tmp_path):
    store = fake_run(
        tmp_path / "run", specs=("gru",), tasks=("xml",), members=2, failed={("xml", "gru")}
    )
    page = Page(write_content(read_content(store.path))["report"].read_text(encoding="utf-8"))
    assert page.sources == []
    assert "No member has a result." in page.words
    assert "out of memory" in page.words


def test_run_without_facts_or_curves(tmp_path):
    store = RunStore.create(tmp_path / "run", study="", run={})
    rows, _ = fake_trial(0, "elman", "xml")
    bare = [
        {k: r[k] for k in ("trial_index", "cell", "task", "member", "status", "valid_bpc")}
        for r in rows
    ]
    store.write("0", bare, [])
    page = Page(write_content(read_content(store.path))["report"].read_text(encoding="utf-8"))
    assert "elman" in page.words
    assert len(page.sources) == 2


def test_run_without_a_trial_says_so(tmp_path):
    store = RunStore.create(tmp_path / "run", study="", run={})
    with pytest.raises(StoreError, match="has no finished trial yet"):
        write_content(read_content(store.path))
    with pytest.raises(StoreError, match="no run at"):
        write_content(read_content(tmp_path / "nowhere"))["report"]


def test_report_that_cannot_be_written_says_so(tmp_path):
    fake_run(tmp_path / "run", specs=("gru",), tasks=("xml",), members=1, points=1)
    (tmp_path / "run" / "report.html").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        write_content(read_content(tmp_path / "run"))["report"]


def test_report_imports_nothing_of_training():
    heavy = "{'torch', 'ray', 'odyssey.cells', 'odyssey.training'}"
    code = f"import sys, odyssey.report.study.files; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_report_opens_no_window(written):
    import matplotlib.pyplot as plt  # seaborn imports it; no figure may be registered there

    assert plt.get_fignums() == []
