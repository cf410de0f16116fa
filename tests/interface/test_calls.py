"""Verbs take the fields of their options, say what each is, and refuse others in one line."""

import dataclasses
import inspect

import pytest
from jobs.fields import FILE, written

import odyssey
from odyssey.errors import OdysseyError
from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.interface import verbs
from odyssey.interface.calls import in_python
from odyssey.training.config import OPTIONS

VERBS = [name for name, module in odyssey._WHERE.items() if module == verbs.__name__]
METHODS = [
    name
    for name, value in vars(odyssey.Run).items()
    if not name.startswith("_") and inspect.isfunction(value)
]


def documented(function):
    text = inspect.getdoc(function)
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name != "self"]
    return {n for n in names if f"\n    {n}: " not in text}, signature


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_says_what_each_argument_is(name):
    verb = getattr(odyssey, name)
    if name == "task":
        return
    undocumented, signature = documented(verb)
    assert not undocumented
    assert signature.return_annotation
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_a_run_says_what_each_argument_is(name):
    undocumented, _ = documented(getattr(odyssey.Run, name))
    assert not undocumented


def test_a_verb_and_its_method_take_the_same():
    for name in ("extend", "promote", "resume", "export", "units", "sample", "gradients"):
        verb = dict(inspect.signature(getattr(odyssey, name)).parameters)
        method = dict(inspect.signature(getattr(odyssey.Run, name)).parameters)
        assert list(verb)[1:] == list(method)[1:]


def test_training_takes_every_hyperparameter_and_option():
    names = inspect.signature(odyssey.train).parameters
    assert {*HYPERPARAMETERS, *OPTIONS} <= set(names)
    assert FILE.read_text("utf-8") == written(), "run `make golden`"


def test_help_shows_types_without_quotes(capsys):
    help(odyssey.train)
    shown = capsys.readouterr().out
    assert "cell: str | Cell, task: str, *, learning_rate: float | None = None" in shown
    assert "hidden_size: Units per layer (128)." in shown


def test_names_can_be_listed_and_completed():
    assert set(odyssey.__all__) == set(dir(odyssey))
    for name in odyssey.__all__:
        assert getattr(odyssey, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        odyssey.trian


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: odyssey.train("gru", "xml", hiden_size=3), "closest: hidden_size"),
        (lambda: odyssey.train("gru", "xml", lr=3), "closest: learning_rate"),
        (lambda: odyssey.train("gru"), "odyssey.train: missing a required argument: 'task'"),
        (lambda: odyssey.train("gruu", "xml"), "no cell called 'gruu'; closest: gru"),
        (lambda: odyssey.train("gru", "xml", sample=-1), "^sample must not be negative, got -1"),
        (lambda: odyssey.train("gru", "xml", checkpoint_every=0), "^checkpoint_every must be"),
        (lambda: odyssey.train("gru", "xml", optimizer="adamm"), "closest: adam"),
        (lambda: odyssey.ablate("gru", members=3), "closest: draws"),
        (lambda: odyssey.ablate("gru", epochs=3), r"as in settings=\{'epochs': \.\.\.\}"),
        (lambda: odyssey.ablate("gru", tasks=3), "tasks must be a text or a list of texts, got 3"),
        (lambda: odyssey.search(), "name a study, its file, or an example"),
        (lambda: odyssey.search("a.toml", example="evolve"), "name a study, its file"),
        (lambda: odyssey.search(example="evovle"), "no example called 'evovle'; closest: evolve"),
        (lambda: odyssey.Run("nowhere"), "no run at nowhere"),
        (lambda: odyssey.extend("nowhere", draws=3), "no run at nowhere"),
        (lambda: odyssey.extend("nowhere", draws=3, device="cuda"), "no argument .*'device'"),
        (lambda: odyssey.resume("nowhere", device="cuda"), "no argument .*'device'"),
        (lambda: odyssey.compare("nowhere"), "name two runs or more"),
        (lambda: odyssey.export("gru", to="onx"), "closest: onnx"),
        (lambda: odyssey.export("gru", hidden=0), "^hidden must be at least 1, got 0"),
        (lambda: odyssey.gradients("gru", sweep="steps=1", train="xml"), "leave train or sweep"),
        (lambda: odyssey.task("xmll"), "closest: xml"),
        (lambda: odyssey.Study(name="s", cells=["gru"], tasks=["xml"], member=3), "member"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line_of_python(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((OdysseyError, TypeError), match=words) as refused:
        call()
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_flags_become_names_and_commands_stay_commands():
    assert in_python("--top-k must be at least 1, got 0") == "top_k must be at least 1, got 0"
    assert in_python("--draws 3: say --cells A,B") == "draws=3: say cells=A,B"
    line = "give --draws; go on with: odyssey search --resume runs/a"
    assert in_python(line) == "give draws; go on with: odyssey search --resume runs/a"
    assert in_python("a--b and -x stay") == "a--b and -x stay"


def test_options_of_one_text_are_a_list_of_it():
    from odyssey.interface.arguments import AblateArguments

    joined = AblateArguments(tasks="xml", track="mlflow")
    assert (joined.tasks, joined.track) == (("xml",), ("mlflow",))
    assert dataclasses.replace(joined, draws=3).tasks == ("xml",)
