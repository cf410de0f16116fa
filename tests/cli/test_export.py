"""A cell, an RNN or a run in a form that does not need Odyssey."""

import importlib.util
import inspect
import json
import re
import shutil

import pytest
import torch
from support.answers import refused, well
from support.departing import drawn, exported
from support.small_studies import small_study

import odyssey as package
from odyssey.cells import library_cell
from odyssey.errors import ConfigError, StoreError
from odyssey.expr import parse_cell
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.export import EXPORT_FORMS, export_cell
from odyssey.studies.trained import load_trained

STUDY = small_study(
    name="kept & 50 %",
    cells=["gru", "mut1"],
    tasks=["text:a.txt"],
    baseline="gru",
    training={"optimizer": "adam"},
    space={"hidden_size": {"choice": [5, 6]}, "num_layers": 2},
)
TEXT = 'the cat (old, "fat [and] grey") \\ sat\n' * 400
TIMES = small_study(
    name="times",
    cells=["gru_d", "ode_rnn", "waiting.cell"],
    tasks=["irregular@signals=2,length=6"],
    members=1,
    training={"optimizer": "adam"},
    space={"hidden_size": 5, "num_layers": 1},
)
WAITING = """cell waiting
input x
input mask : 2
input gap : 1
state h
h[t] = tanh(x[t] + V @ mask[t] + U @ (exp(-relu(w * gap[t])) * h[t-1]))
output h
"""


@pytest.fixture(scope="module")
def run(search):
    """A study of two cells, one of which reads embedded inputs, with weights."""
    return search(STUDY, {"a.txt": TEXT})


@pytest.fixture(scope="module")
def timed(search):
    """A study of cells that read parts of a task's inputs by name, one of them within an
    embedding."""
    return search(TIMES, {"waiting.cell": WAITING})


def _module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHAPES = ((6, 3), (11, 1))  # steps and batch


def _outputs(model, module, onnx, x):
    """What a trained model, its module and its graph give for the same inputs: output, states."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options)
    with torch.no_grad():
        y, state = model(x[None], None)
        theirs, their_state = module.load()(x)
    graph = session.run(None, {"input": x.numpy()})
    return [v[0] for v in (y, *state)], [theirs, *their_state], [*map(torch.as_tensor, graph)]


@pytest.mark.parametrize("cell", ["gru_d", "ode_rnn", "waiting"])
def test_a_trained_model_takes_apart_what_its_cell_reads_by_name(timed, tmp_path, cell):
    choice = ModelChoice(cell=cell)
    module = _module(export_cell(str(timed), "torch", choice=choice).save(tmp_path)[0])
    onnx = export_cell(str(timed), "onnx", choice=choice).save(tmp_path)[0]
    model = load_trained(timed, cell=cell).model
    for shape in SHAPES:
        x = torch.rand(*shape, 7)  # two values, gap, mask and since of two
        ours, theirs, graph = _outputs(model, module, onnx, x)
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
        torch.testing.assert_close(graph, ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", EXPORT_FORMS)
def test_every_form_shows_further_inputs(form):
    cell = library_cell("gru_d")
    data = next(iter(exported(cell, form, input=3, hidden=4).files.values()))
    for name in ("mask", "since"):
        assert name.encode() in data
    if form == "onnx":
        import onnx

        shapes = {
            i.name: i.type.tensor_type.shape.dim for i in onnx.load_from_string(data).graph.input
        }
        for name in ("mask", "since"):
            assert [d.dim_param or d.dim_value for d in shapes[name]] == ["steps", "batch", 3]
    if form == "json":
        assert json.loads(data)["further_inputs"] == {"mask": "I", "since": "I"}


def test_a_module_says_what_its_inputs_are(tmp_path):
    cell = parse_cell(WAITING)
    module = _module(export_cell(cell, "torch").save(tmp_path / "waiting.py")[0])
    assert "mask (T, B, 2) and gap (T, B, 1)" in module.RNN.forward.__doc__
    assert [*inspect.signature(module.RNN.forward).parameters] == [
        "self",
        "x",
        "mask",
        "gap",
        "state",
    ]
    module.RNN(4, 4, 3)(torch.rand(5, 2, 4), torch.rand(5, 2, 2), torch.rand(5, 2, 1))
    with pytest.raises(ValueError, match="shorter"):
        module.RNN(4, 4)(torch.rand(5, 2, 4), torch.rand(5, 2, 2), torch.rand(4, 2, 1))


@pytest.mark.parametrize("cell", ["gru", "mut1"])
def test_a_trained_model_leaves_with_its_weights(run, tmp_path, cell):
    choice = ModelChoice(cell=cell)
    source, weights = export_cell(str(run), "torch", choice=choice).save(tmp_path)
    assert source.read_text().count("\n") < 120
    module = _module(source)
    trained = load_trained(run, cell=cell)
    assert list(trained.task.vocabulary.text) == list(module.SYMBOLS)
    onnx = export_cell(str(run), "onnx", choice=choice).save(tmp_path)[0]
    for shape in SHAPES:
        x = torch.randint(trained.task.num_symbols, shape)
        ours, theirs, graph = _outputs(trained.model, module, onnx, x)
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
        torch.testing.assert_close(graph, ours, rtol=0, atol=1e-6)
    for word in ("Trained on text:a.txt", "5 updates of adam", trained.row["cell_key"]):
        assert word in " ".join(source.read_text().split())
    assert weights.stem == source.stem


def test_the_tables_of_a_run(odyssey, run):
    text = well(odyssey("export", run, "--to", "latex")).out
    assert text.count(r"\begin{table}") == 2
    compact = text[text.rindex(r"\begin{table}") :]
    assert r"\small" in compact
    assert "mut1" in compact
    heads = next(line for line in compact.splitlines() if line.startswith("cell"))
    assert heads.count("&") <= 5
    assert len(re.search(r"\\caption\{(.*)\}", compact)[1]) < 60


def test_a_run_without_weights_has_its_cell(run, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    shutil.rmtree(bare / "weights")
    best = json.loads(export_cell(str(bare), "json", choice=ModelChoice(cell="mut1")).text)
    assert best["key"] == library_cell("mut1").key
    with pytest.raises(StoreError, match="weights"):
        export_cell(str(bare), "torch")
    with pytest.raises(StoreError, match="no cell with a result in the run called 'mut2'"):
        export_cell(str(bare), "json", choice=ModelChoice(cell="mut2"))


def test_files_are_not_overwritten(odyssey, cwd):
    assert "wrote out/gru.svg" in well(odyssey("export", "gru", "--to", "svg", "-o", "out")).out
    assert "--force" in refused(odyssey("export", "gru", "--to", "svg", "-o", "out"))
    well(odyssey("export", "gru", "--to", "svg", "-o", "out", "--force"))
    well(odyssey("export", "gru", "--to", "json", "-o", "out/other.txt"))
    assert sorted(p.name for p in (cwd / "out").iterdir()) == ["gru.svg", "other.txt"]
    assert "-o" in refused(odyssey("export", "gru", "--to", "svg", "--force"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("gru", "--to", "onnx", "--input", 3), "--hidden N"),
        (("gru", "--to", "onnx", "--input", 3, "--hidden", 4), "-o FILE"),
        (("gru", "--to", "onnx", "--hidden", 0), "--hidden must be at least 1"),
        (("mut1", "--to", "torch", "--input", 3, "--hidden", 4), "--input must equal --hidden"),
        (("gru", "--to", "tourch"), "closest: torch"),
        (("gru", "--to", "json", "--member", 1), "chooses a model of a run"),
        (("gru_d", "--to", "torch", "--layers", 2), "use --layers 1"),
        (("gruu", "--to", "json"), "closest: gru"),
    ],
)
def test_nonsense_is_refused(odyssey, options, says):
    assert says in refused(odyssey("export", *options))


def test_a_run_has_its_own_sizes(odyssey, run):
    assert "own sizes" in refused(odyssey("export", run, "--to", "torch", "--hidden", 3))


def test_what_is_no_cell_is_refused():
    with pytest.raises(ConfigError, match=r"an odyssey\.RNN"):
        package.export(torch.nn.Linear(2, 3))
    rnn = package.RNN(library_cell("gru"), 3, 4, bidirectional=True)
    with pytest.raises(ConfigError, match="two directions"):
        package.export(rnn)
    with pytest.raises(ConfigError, match="population"):
        package.export(package.RNN(library_cell("gru"), 3, 4, population=2))


@pytest.mark.parametrize("form", EXPORT_FORMS)
def test_every_form_is_the_same_twice(form):
    sizes = {"input": 3, "hidden": 4}
    files = exported(library_cell("lem"), form, **sizes).files
    assert files == exported(library_cell("lem"), form, **sizes).files
    assert all(files.values())


def test_an_rnn_keeps_its_sizes():
    data = json.loads(export_cell(drawn(library_cell("gru")), "json").text)
    assert data["sizes"] == {"input": 5, "hidden": 8, "layers": 2}
