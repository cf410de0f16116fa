"""A run keeps its plug-ins, goes on with them, and runs nobody else's code because it is read."""

import json
import pickle
import shutil
import sys

import pytest
from support.plugged import forget

from odyssey.cli.main import main
from odyssey.errors import ConfigError
from odyssey.jobs.search import resume_run
from odyssey.plugins import digests, load, load_sources, loaded, trust
from odyssey.plugins.source import read_source
from odyssey.storage import load_results
from odyssey.storage.store import RunStore
from odyssey.studies.study import parse_study, read_study
from odyssey.studies.trial import Trial

PLUGIN = '''
from odyssey.training.metrics import Metric
CELLS = {"mine": """cell mine
input x
state h
h[t] = tanh(W @ x[t] + u * h[t-1])
output h
"""}
METRICS = {
    "top2": Metric(
        about="among the two likeliest",
        measure=lambda p: float((p.rank < 2).mean()),
        better="high",
        chance=lambda size: 2 / size,
    )
}
'''
STUDY = """
name = "plugged"
cells = ["mine", "elman"]
tasks = ["memorization@length=2,symbols=3"]
members = 2
runner = "local"
plugins = ["my.py"]
[training]
epochs = 1
updates_per_epoch = 2
batch_size = 2
unroll = 5
valid_characters = 60
test_characters = 60
[space]
hidden_size = 4
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "my.py").write_text(PLUGIN)
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def run(study, tmp_path):
    assert main(["search", str(study), "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def facts(run):
    return RunStore(run).run


def test_a_run_records_digest_code_and_metrics(run, study):
    source = read_source(str(study.parent / "my.py"))
    record = {"origin": str(study.parent / "my.py"), "kept": "plugins/my/my.py"}
    assert facts(run)["plugins"] == {"my": {**record, "sha256": source.sha256}}
    assert (run / "plugins/my/my.py").read_text() == PLUGIN
    assert facts(run)["metrics"]["top2"]["better"] == "high"
    assert facts(run)["metrics"]["top2"]["chance"] == {
        "memorization@length=2,symbols=3": pytest.approx(0.4)
    }
    rows = load_results(run)
    assert rows["metric.top2"].between(0, 1).all()
    assert (rows["metric.top2"] >= rows["test_accuracy"]).all()
    assert (rows["status"] == "ok").all()


def test_tables_have_a_column_of_the_metric(run, capsys):
    capsys.readouterr()
    assert main(["report", str(run)]) == 0
    assert "top2" in capsys.readouterr().out
    assert "top2 (chance 0.4)" in (run / "leaderboard.md").read_text()


def test_a_run_goes_on_in_a_new_process_with_the_code_that_it_began_with(run, study):
    ids = {trial.id for trial in resume_run(run).trials}
    shutil.rmtree(run / "results")
    (run / "results").mkdir()
    (study.parent / "my.py").write_text("PROBES = {")  # what it was lies in the run
    forget()
    assert main(["search", "--resume", str(run)]) == 0
    assert set(load_results(run)["trial"]) == ids
    assert [source.origin for source in loaded()] == [str(study.parent / "my.py")]


def test_ids_depend_on_plugins_and_are_as_before_without(study):
    trial = {"index": 0, "spec": "gru", "cell_text": "", "cell_key": "", "lineage": ["gru"]}
    trial |= {"task": "xml", "members": [], "training": {}}
    without = Trial.from_dict(trial)
    assert without.plugins == ()
    assert without.id == "77f6fccdee42605c"
    load(study.parent / "my.py")
    made = Trial(**{**trial, "lineage": ("gru",), "members": ()})
    assert made.plugins == digests() != ()
    assert made.id != without.id
    assert Trial.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_the_study_of_a_run_is_a_study(run):
    forget()
    again = read_study(run / "study.toml")
    assert again.plugins == (str(run / "plugins/my/my.py"),)
    assert list(again.resolve_cells()) == ["mine", "elman"]


READERS = [
    ("report", "{}"),
    ("status", "{}"),
    ("search", "--resume", "{}"),
    ("extend", "{}", "--draws", "3", "--dry-run"),
    ("compare", "{}", "{}"),
    ("export", "{}", "--to", "latex", "--cell", "mine"),
    ("sample", "{}", "--cell", "mine", "--length", "5"),
    ("gradients", "{}", "--cell", "mine", "--steps", "3", "--no-animation"),
]


def test_code_of_somebody_else_is_not_run_because_it_is_read(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trust, "user_cache", lambda: tmp_path / "of another user")
    for command in READERS:
        forget()
        capsys.readouterr()
        assert main([word.format(run) for word in command]) == 2, command
        said = capsys.readouterr().err
        assert "has not been run on this machine; if you trust it, add --plugin" in said, command
        assert loaded() == ()
    assert len(load_results(run)) == 4, "numbers need no code"
    named = ["report", str(run), "--plugin", str(run / "plugins/my/my.py")]
    assert main(named) == 0
    forget()
    assert main(["report", str(run)]) == 0, "it was named once, here"


def test_every_reader_loads_the_plugins_of_a_run(run, tmp_path, capsys):
    for command in READERS:
        if command[0] == "gradients":
            continue
        forget()
        assert main([word.format(run) for word in command]) in (0, 2), command
        assert "no cell called" not in capsys.readouterr().err
        assert [source.name for source in loaded()] == ["my"]


def test_code_that_was_changed_in_the_run_is_refused(run, capsys):
    forget()
    (run / "plugins/my/my.py").write_text(PLUGIN + "\n# edited\n")
    assert main(["report", str(run)]) == 2
    assert "is not the plug-in that the run began with" in capsys.readouterr().err


def test_another_version_is_refused(run, study, capsys):
    forget()
    (study.parent / "my.py").write_text(PLUGIN + "\n# a later version\n")
    assert main(["report", str(run), "--plugin", str(study.parent / "my.py")]) == 2
    assert "was made with another version of the plug-in my" in capsys.readouterr().err


def test_a_run_goes_on_without_a_plugin_that_it_began_without(tmp_path, study, capsys):
    plain = STUDY.replace('"mine", ', "").replace('plugins = ["my.py"]\n', "")
    study.write_text(plain)
    assert main(["search", str(study), "--out", str(tmp_path / "run")]) == 0
    assert "plugins" not in facts(tmp_path / "run")
    assert "plugins" not in (tmp_path / "run/study.toml").read_text()
    assert not (tmp_path / "run/plugins").exists()
    plugin = ["--plugin", str(tmp_path / "my.py")]
    assert main(["search", "--resume", str(tmp_path / "run"), *plugin]) == 2
    assert "began without the plug-in my.py" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "run"), *plugin]) == 0


def test_an_option_loads_a_plugin_for_a_study_that_names_none(tmp_path, study):
    study.write_text(STUDY.replace('plugins = ["my.py"]\n', ""))
    plugin = ["--plugin", str(tmp_path / "my.py")]
    assert main(["search", str(study), "--out", str(tmp_path / "run"), *plugin]) == 0
    assert list(facts(tmp_path / "run")["plugins"]) == ["my"]


def test_one_training_has_plugins_too(tmp_path, study, capsys):
    out = tmp_path / "one"
    command = ["train", "mine", "--task", "memorization", "--epochs", "1", "--out", str(out)]
    small = ["--updates-per-epoch", "2", "--plugin", str(tmp_path / "my.py")]
    assert main([*command, *small, "--hidden-size", "4"]) == 0
    assert list(facts(out)["plugins"]) == ["my"]
    assert "\n          top2 0." in capsys.readouterr().out
    forget()
    assert main(["train", "--resume", str(out), "--epochs", "2"]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("3", "plugins must be a list of texts"),
        ('["my.py", "my.py"]', "plugins names 'my.py' twice"),
        ('["other.py"]', "there is no such file"),
    ],
)
def test_nonsense_in_a_study(given, message, tmp_path):
    text = STUDY.replace('["my.py"]', given)
    with pytest.raises(ConfigError, match=message):
        parse_study(text, base=tmp_path)


def test_a_run_with_a_module_goes_on_where_the_same_one_is_installed(
    tmp_path, study, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "my_module_of_cells.py"
    module.write_text(PLUGIN)
    study.write_text(STUDY.replace("my.py", "my_module_of_cells"))
    run = tmp_path / "run"
    assert main(["search", str(study), "--out", str(run)]) == 0
    assert facts(run)["plugins"]["my_module_of_cells"]["kept"] == "my_module_of_cells"
    assert not (run / "plugins").exists()
    forget()
    assert main(["search", "--resume", str(run)]) == 0
    (source,) = loaded()
    forget()
    capsys.readouterr()
    module.write_text(PLUGIN + "\n# a later version\n")
    assert main(["report", str(run)]) == 2
    assert "install the same version on every machine" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="is another one here"):
        load_sources([source])
    sys.modules.pop("my_module_of_cells")


def test_a_worker_takes_the_files_that_it_is_given(study):
    source = load(study.parent / "my.py")
    forget()
    (study.parent / "my.py").unlink()
    load_sources(pickle.loads(pickle.dumps((source,))))
    assert digests() == (source.sha256,)
    load_sources((source,))
