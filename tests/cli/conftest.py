"""The command in this process, in an empty folder; and runs of small studies."""

import dataclasses
import json

import pytest

from odyssey.cli.main import main


@dataclasses.dataclass(frozen=True)
class Called:
    """What a call of the command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


@pytest.fixture
def cwd(tmp_path, monkeypatch):
    """An empty current folder."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def odyssey(cwd, capsys):
    """Calls the command."""

    def call(*arguments):
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        return Called(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """Runs a study beside the files that it names; gives the run."""

    def run(study, files):
        folder = tmp_path_factory.mktemp("study")
        for name, text in {"study.toml": study, **files}.items():
            (folder / name).write_text(text)
        assert main(["search", str(folder / "study.toml"), "--out", str(folder / "run")]) == 0
        return folder / "run"

    return run
