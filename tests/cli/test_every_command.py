"""What holds for every command: a new one is tested by these; its choices are the registries'."""

import argparse
import importlib

import pytest
from support.answers import refused

from odyssey.cli import main
from odyssey.speed.registry import SECTIONS
from odyssey.studies.runners.registry import RUNNERS

(COMMANDS,) = (
    action.choices
    for action in main._parser(main.COMMANDS)._actions
    if isinstance(action, argparse._SubParsersAction)
)


def option(command, flag):
    (found,) = (a for a in COMMANDS[command]._actions if flag in (*a.option_strings, a.dest))
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_does(odyssey, name):
    called = odyssey(name, "--help")
    assert (called.code, called.err) == (0, "")
    assert called.out.startswith(f"usage: odyssey {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_it_has_a_module_that_runs_it_and_says_what_for(name):
    module = importlib.import_module(f"odyssey.cli.{name}")
    assert callable(module.run)
    assert module.__doc__
    parser = COMMANDS[name]
    assert len(parser.description) > 10
    silent = [a.option_strings for a in parser._actions if a.option_strings and not a.help]
    assert silent == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_one_line(odyssey, cwd, name):
    refused(odyssey(name, "--no-such-option"))
    assert list(cwd.iterdir()) == []


def test_runners_are_those_of_a_study():
    for name, parser in COMMANDS.items():
        if any("--runner" in action.option_strings for action in parser._actions):
            assert set(option(name, "--runner").choices) == set(RUNNERS)


def test_help_names_every_section_of_the_benchmark():
    assert option("bench", "sections").help.split(";")[0].split(", ") == list(SECTIONS)
