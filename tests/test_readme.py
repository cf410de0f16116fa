"""The README tells the truth: its commands run, its Python runs, its links exist."""

import re
import shlex
from pathlib import Path

import pytest

from odyssey.cli.main import main
from odyssey.studies import examples

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


COMMANDS = [
    line.split("#")[0].strip()
    for block in blocks("sh")
    for line in block.splitlines()
    if line.startswith("odyssey ")
]


def test_there_are_commands_to_run():
    assert len(COMMANDS) >= 10


def in_small(study):
    """Three of its cells on the same tasks in small models, scored on little text."""
    text, cells = re.subn(
        r"^cells = .*", 'cells = ["lstm_peephole", "gru", "mut1"]', study, flags=re.M
    )
    text, sizes = re.subn(r"^hidden_size = .*", "hidden_size = 8", text, flags=re.M)
    little = "[training]\nvalid_characters = 500\ntest_characters = 500"
    text, places = re.subn(r"^\[training\]", little, text, flags=re.M)
    assert (cells, sizes, places) == (1, 1, 1)
    return text


@pytest.mark.slow
@pytest.mark.ray
def test_commands(tmp_path, monkeypatch, capfd):
    for name in examples.list_examples():
        text = examples.example_path(name).read_text("utf-8")
        (tmp_path / f"{name}.toml").write_text(in_small(text) if name == "tour" else text, "utf-8")
    monkeypatch.setattr(examples, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        assert main(shlex.split(command)[1:]) == 0, command
        assert capfd.readouterr().out.strip(), f"{command} printed nothing"
    assert (tmp_path / "build/example/report.html").stat().st_size > 10_000
    # docs/diagnostics.md reads the model that the commands above have trained
    for code in blocks("python", (ROOT / "docs/diagnostics.md").read_text("utf-8")):
        exec(compile(code, "diagnostics.md", "exec"), {})
        assert "def after_a_comma" in code or capfd.readouterr().out.strip()


def test_python(capsys):
    (code,) = blocks("python")
    space = {}
    exec(compile(code, "README.md", "exec"), space)
    assert tuple(space["output"].shape) == (35, 20, 128)
    assert [tuple(s.shape) for s in space["state"]] == [(2, 20, 128)] * 2
    assert "False" in capsys.readouterr().out


def test_the_lectures_loop_does_what_its_page_says(capsys):
    (code,) = blocks("python", (ROOT / "docs/relu_loop.md").read_text("utf-8"))
    space = {}
    exec(compile(code, "relu_loop.md", "exec"), space)
    assert (space["radius"] > 1).double().mean() > 0.98
    assert 0.52 < (space["first"] > 3).mean() < 0.65
    assert 0.24 < (space["first"] < -3).mean() < 0.34
    assert "explodes" in capsys.readouterr().out


def test_the_page_of_the_module(capsys):
    space = {}
    for code in blocks("python", (ROOT / "docs/module.md").read_text("utf-8")):
        exec(compile(code, "module.md", "exec"), space)
    assert "[4, 50, 64]" in capsys.readouterr().out


def test_the_cell_shown_is_the_cell():
    from odyssey.specs import get_cell

    shown = re.search(r"^```\n(cell lstm\n.*?)^```", README, re.M | re.S)
    text = re.sub(r"^cite .*\n", "", get_cell("lstm").text, flags=re.M)
    assert shown.group(1) == text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        assert target.startswith("http") or (path.parent / target).exists(), target


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.M))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
