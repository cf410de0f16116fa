"""What a shell offers after Tab is what there is."""

import importlib
import shlex

import pytest
from support.driving import python

from odyssey.cli import completion, main
from odyssey.cli.main import COMMANDS
from odyssey.specs import get_cell, list_cells
from odyssey.studies.examples import list_examples
from odyssey.tasks.registry import get_task, list_tasks


def offered(line, cwd):
    """What bash is told for a line."""
    told = cwd / "told"
    asking = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line}
    asking |= {"COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(told)}
    done = python("-m", "odyssey", cwd=cwd, **asking)
    assert done.returncode == 0, done.stderr
    return [word.strip() for word in told.read_text().split("\n") if word.strip()]


def test_commands_options_and_cells_are_offered(cwd):
    assert offered("odyssey se", cwd) == ["search"]
    assert "--hidden-size" in offered("odyssey train lstm --hid", cwd)
    assert set(offered("odyssey show lstm_p", cwd)) == {"lstm_peephole"}
    (cwd / "mine.py").touch()
    assert offered("odyssey train gru --plugin mi", cwd) == ["mine.py"]


def test_names_are_those_of_the_registries(cwd):
    assert set(list_cells()) <= set(completion._specs(""))
    for spec in completion._specs("gru:no_bias+"):
        assert get_cell(spec).key != get_cell("gru").key
    assert completion._specs("no_such_cell:") == []
    assert set(completion._tasks("")) == set(list_tasks())
    assert [get_task(spec).name for spec in completion._tasks("copy@")]
    assert "xml,arithmetic" in completion._task_list("xml,ar")
    assert completion._examples("") == list_examples()
    assert "jsb-chorales" in completion._data_sets("")


def test_runs_studies_and_files_are_those_of_the_folder(cwd):
    (cwd / "results/runs/first").mkdir(parents=True)
    (cwd / "results/runs/first/run.json").write_text("{}")
    (cwd / "mine.toml").touch()
    (cwd / "mine.cell").touch()
    (cwd / ".hidden").mkdir()
    assert completion._runs("") == ["results/runs/first", "results/"]
    assert completion._studies("mi") == ["mine.toml", "results/"]
    assert completion._files("no/such/", ".toml") == []
    assert "mine.cell" in completion._specs("")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_shell_gets_its_script(odyssey, shell):
    called = odyssey("--completion", shell)
    assert (called.code, called.err) == (0, "")
    assert "_ARGCOMPLETE" in called.out
    assert "odyssey" in called.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_a_command_are_legal(command, odyssey):
    parser = main._parser([command])
    examples = importlib.import_module(f"odyssey.cli.{command}").EXAMPLES
    assert examples
    for example, text in examples:
        words = shlex.split(example)
        assert words[:2] == ["odyssey", command]
        parser.parse_args(words[1:])
        assert len(example) + len(text) < 110
    assert "examples:" in odyssey(command, "--help").out
