"""Which paragraphs of LaTeX compile, with a stand-in for the compiler."""

import pytest

from odyssey.diagnostics import latex

SAMPLE = "middle of something\n\nA lemma.\n\n\\begin{bad}\n\n\n\nA proof.\n\nthe end of"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Takes a document without `bad` in it, and writes what it was called with."""
    script = tmp_path / "pdflatex"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n! grep -q bad sample.tex\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_paragraphs_are_compiled_one_by_one(compiler):
    assert latex.compile_paragraphs(SAMPLE) == latex.Compiled(paragraphs=3, compiled=2)
    calls = (compiler / "calls").read_text().splitlines()
    assert len(calls) == 3
    assert all("-no-shell-escape" in call for call in calls)
    assert latex.compile_paragraphs("one bad paragraph") == latex.Compiled(1, 0)
    assert latex.compile_paragraphs(SAMPLE, most=1) == latex.Compiled(1, 1)


def test_one_that_does_not_end_does_not_compile(compiler, monkeypatch):
    (compiler / "pdflatex").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(latex, "SECONDS", 0.2)
    assert latex.compile_paragraphs("A lemma.") == latex.Compiled(1, 0)


def test_without_a_compiler_nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert latex.compile_paragraphs(SAMPLE) is None


def test_latex_has_environments():
    assert latex.looks_like_latex(SAMPLE)
    assert not latex.looks_like_latex("int main() { return 0; }")
