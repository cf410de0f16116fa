"""Every command does what it says, prints tables that fit and JSON that parses."""

import dataclasses
import hashlib

import pytest
import torch
from support.answers import refused, table, well

from odyssey.cells import FAMILIES, LIBRARY, library_entry
from odyssey.compiler.lowering import STAGES
from odyssey.expr import parse_cell
from odyssey.jobs import doctor
from odyssey.jobs.cells import cell_page
from odyssey.specs import CELL_SETS, VARIANTS, get_cell
from odyssey.tasks import download
from odyssey.tasks.registry import list_tasks
from odyssey.transforms.ablations import ABLATIONS

# cells


def test_cells_lists_the_library(odyssey):
    lines = table(odyssey("cells"))
    assert lines[0].split() == ["cell", "family", "year", "parameters", "about"]
    first_words = [line.split()[0] for line in lines[1:] if not line.startswith(" ")]
    assert first_words == list(LIBRARY)
    rows = well(odyssey("cells", "--json")).json
    assert [row["cell"] for row in rows] == list(LIBRARY)
    lstm = next(row for row in rows if row["cell"] == "lstm")
    assert lstm["parameters"] == "4HI + 4HH + 4H"
    assert lstm["states"] == "h, c"
    assert "Hochreiter" in lstm["source"]
    assert get_cell("lstm").key.startswith(lstm["key"])
    assert (lstm["family"], lstm["year"]) == ("memory", 1997)


def test_cells_of_a_family(odyssey):
    for family in FAMILIES:
        rows = well(odyssey("cells", "--family", family, "--json")).json
        members = [name for name in LIBRARY if library_entry(name).family == family]
        assert [row["cell"] for row in rows] == members
    assert len(table(odyssey("cells", "--family", "deep"))) > 3
    message = refused(odyssey("cells", "--family", "gatet"))
    assert "no family called 'gatet'; closest: gated" in message


def test_a_page_about_a_cell(odyssey):
    page = " ".join(" ".join(table(odyssey("cells", "unicornn"))).split())
    entry, cell = library_entry("unicornn"), get_cell("unicornn")
    for text in (
        "unicornn (dynamical, 2021)",
        entry.about,
        "h[t] = h[t-1] + s * z[t]",
        "h, z; the output is h",
        "HI + 3H",
        "w_z = uniform(0, 1), k = uniform(-0.1, 0.1)",
        cell.key,
        "activation = s:FUNCTION, z:FUNCTION",
    ):
        assert text in page
    facts = well(odyssey("cells", "unicornn", "--json")).json
    assert (facts["key"], facts["square"]) == (cell.key, False)
    assert facts["init"] == {"w_z": "uniform(0, 1)", "k": "uniform(-0.1, 0.1)"}
    assert "needs I = H" in well(odyssey("cells", "sru")).out


def test_every_page_fits_and_says_what_its_file_says(odyssey):
    for name in LIBRARY:
        page = cell_page(name)
        assert max(map(len, page.splitlines())) <= 200
        words = " ".join(page.split())
        entry = library_entry(name)
        for text in (entry.about, entry.differs, get_cell(name).citation):
            assert " ".join(text.split()) in words


def test_pages_and_lists_are_not_mixed(odyssey):
    assert "no cell called 'lstmm'; closest: lstm" in refused(odyssey("cells", "lstmm"))
    for option in ("--ablations", "--variants", "--markdown"):
        assert "leave out one of them" in refused(odyssey("cells", "lstm", option))
    assert "leave out one of them" in refused(odyssey("cells", "--markdown", "--json"))
    assert "not allowed with" in refused(odyssey("cells", "--family", "deep", "--variants"))


def test_cells_lists_ablations_and_variants(odyssey):
    text = "\n".join(table(odyssey("cells", "--ablations")))
    rows = well(odyssey("cells", "--ablations", "--json")).json
    assert len(rows) == len(ABLATIONS)
    for name in ABLATIONS:
        assert name in text
    table(odyssey("cells", "--variants"))
    rows = well(odyssey("cells", "--variants", "--json")).json
    assert [row["name"] for row in rows] == [*VARIANTS, *CELL_SETS]
    for row in rows[: len(VARIANTS)]:
        assert get_cell(row["spec"]).key == get_cell(row["name"]).key
    assert "not allowed with" in refused(odyssey("cells", "--variants", "--ablations"))


# show


def test_show_prints_text_that_reads_back(odyssey):
    text = well(odyssey("show", "lstm:no_output_gate+forget_bias=2")).out
    assert parse_cell(text) == get_cell("lstm:no_output_gate+forget_bias=2")
    assert well(odyssey("show", "lstm", "--as", "text")).out == get_cell("lstm").text


def test_show_latex_and_canonical_form(odyssey):
    latex = well(odyssey("show", "gru", "--as", "latex")).out
    assert r"\begin{aligned}" in latex
    assert r"\odot" in latex
    assert well(odyssey("show", "gru", "--as", "canonical")).out == get_cell("gru").canonical_text


def test_show_json_has_all_there_is(odyssey):
    cell = get_cell("mut1")
    found = well(odyssey("show", "mut1", "--as", "json")).json
    assert found["key"] == cell.key
    assert found["text"] == cell.text
    assert found["fingerprint"] == cell.fingerprint
    assert found["latex"] == cell.latex()
    assert found["states"] == ["h"]
    assert found["recurrent"] is True
    assert found["needs_input_size_equal_hidden_size"] is True
    assert set(found["parameters"]) == set(cell.parameters)
    assert found["parameter_count"] == "4HH + 3H"


def test_show_the_program_after_any_pass(odyssey):
    programs = {
        stage: well(odyssey("show", "lstm", "--as", "program", "--after", stage)).out
        for stage in STAGES
    }
    assert well(odyssey("show", "lstm", "--as", "program")).out == programs[STAGES[-1]]
    assert len(set(programs.values())) >= 3  # the passes do something, and it shows
    line = refused(odyssey("show", "lstm", "--as", "program", "--after", "hoistt"))
    assert "no pass called 'hoistt'; closest: hoist" in line
    assert "--as program" in refused(odyssey("show", "lstm", "--after", "hoist"))


def test_show_the_source_that_eager_runs(odyssey):
    source = well(odyssey("show", "lstm", "--as", "eager")).out
    compile(source, "layer", "exec")
    assert source.startswith("def layer(")


def test_show_the_module_in_torch_alone(odyssey):
    source = well(odyssey("show", "lstm", "--as", "torch")).out
    assert source == well(odyssey("export", "lstm", "--to", "torch")).out
    space = {}
    exec(source, space)  # it defines all that it calls
    y, state = space["RNN"](3, 4)(torch.zeros(5, 2, 3))
    assert [v.shape for v in (y, *state)] == [(5, 2, 4), (1, 2, 4), (1, 2, 4)]


def test_show_the_difference_of_two_cells(odyssey):
    lines = well(odyssey("show", "lstm:no_forget_gate", "--against", "lstm")).out.splitlines()
    changed = [line for line in lines if line[0] in "+-"]
    assert "- c[t] = f * c[t-1] + i * g" in changed
    assert "+ c[t] = c[t-1] + i * g" in changed
    assert "--as text" in refused(odyssey("show", "lstm", "--against", "gru", "--as", "latex"))


def test_show_a_cell_file(odyssey, cwd):
    (cwd / "mine.cell").write_text(get_cell("gru").text.replace("cell gru", "cell mine"))
    assert well(odyssey("show", "mine.cell:no_reset_gate")).out.startswith("cell mine")
    assert "no cell called 'mine'" in refused(odyssey("show", "mine"))


# data


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with a small stand-in for one corpus."""
    folder = tmp_path / "data"
    monkeypatch.setenv(download.DATA_VARIABLE, str(folder))
    text = b"to be, or not to be, that is the question:\n" * 40
    (folder / "tinyshakespeare").mkdir(parents=True)
    (folder / "tinyshakespeare" / download.FILE_NAME).write_bytes(text)
    digest = "sha256:" + hashlib.sha256(text).hexdigest()
    entry = dataclasses.replace(download.DATASETS["tinyshakespeare"], size=len(text), digest=digest)
    monkeypatch.setitem(download.DATASETS, "tinyshakespeare", entry)
    return folder


def test_data_list(odyssey, data):
    text = "\n".join(table(odyssey("data", "list")))
    found = well(odyssey("data", "list", "--json")).json
    assert found["directory"] == str(data)
    assert [row["name"] for row in found["tasks"]] == [
        *list_tasks(),
        "text:PATH",
        "captions:PATH",
    ]
    assert {row["name"]: row["present"] for row in found["datasets"]} == {
        name: name == "tinyshakespeare" for name in download.DATASETS
    }
    for name in list_tasks():
        assert name in text
    assert "takes no name" in refused(odyssey("data", "list", "text8"))


def test_data_get(odyssey, data):
    path = data / "tinyshakespeare" / download.FILE_NAME
    assert well(odyssey("data", "get", "tinyshakespeare")).out == f"{path}\n"
    found = well(odyssey("data", "get", "tinyshakespeare", "--json")).json
    assert found == {"name": "tinyshakespeare", "path": str(path)}
    assert "closest: tinyshakespeare" in refused(odyssey("data", "get", "tinyshakespear"))
    assert "name a data set" in refused(odyssey("data", "get"))
    assert "no value of action called 'drop'" in refused(odyssey("data", "drop"))


# doctor


@pytest.mark.slow
@pytest.mark.ray
def test_doctor_finds_that_all_works_here(odyssey, data):
    rows = well(odyssey("doctor", "--json")).json
    found = {row["check"]: row["found"] for row in rows}
    assert all(row["works"] for row in rows)
    assert {"torch", "ray", "Ray", "compiled cell", "C compiler", "data folder"} <= found.keys()
    assert "starts a worker" in found["Ray"]
    assert str(data) in found["data folder"]
    assert found["devices"].startswith("cpu")


def test_doctor_says_what_to_do_about_what_does_not_work(odyssey, monkeypatch, tmp_path):
    def broken():
        raise RuntimeError("no sockets here\nand more")

    closed = tmp_path / "a-file"
    closed.write_text("")
    monkeypatch.setattr("odyssey.studies.runners.ray.probe", broken)
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no_such_package"))
    monkeypatch.setenv("PATH", "")
    called = odyssey("doctor", "--json")
    assert called.code == 1
    rows = {row["check"]: row for row in called.json}
    assert [check for check, row in rows.items() if not row["works"]] == ["no_such_package", "Ray"]
    assert rows["Ray"]["found"] == "RuntimeError: no sockets here"
    assert "--runner local" in rows["Ray"]["do"]
    assert rows["no_such_package"]["do"] == "pip install no_such_package"
    called = odyssey("doctor")
    assert called.code == 1
    assert max(map(len, called.out.splitlines())) <= 120
    assert "NO" in called.out


# The command itself


def test_help_and_version_are_no_errors(odyssey):
    assert "usage: odyssey" in well(odyssey("--help")).out
    for command in ("cells", "show", "train", "search", "report", "data", "doctor"):
        assert command in odyssey("--help").out
        assert f"usage: odyssey {command}" in well(odyssey(command, "--help")).out
    assert well(odyssey("--version")).out.startswith("odyssey 0.")


def test_wrong_use_is_one_line(odyssey):
    assert "required: COMMAND" in refused(odyssey())
    for line, says in (
        (("trian",), "no command called 'trian'; closest: train"),
        (("show", "lstm", "--as", "tex"), "no value of --as called 'tex'; closest: text"),
        (("show", "lstm", "gru"), "there is no place for gru"),
        (("show", "lstm", "--agains=gruu"), "no "),
        (
            ("train", "lstm", "--task", "xml", "--hiden-size", 3),
            "'--hiden-size'; closest: --hidden-size",
        ),
        (("train", "lstm", "--epochs", "1.5"), "--epochs takes a whole number, got '1.5'"),
        (("train", "lstm", "--momentum", "x"), "--momentum takes a number, got 'x'"),
        (("train", "lstm", "--task", "xml", "--set", "hidden_sizes=3"), "closest: hidden_size"),
        (("train", "lstm", "--task", "xml", "--set", "space.epochs=3"), "space.epochs"),
    ):
        assert says in refused(odyssey(*line))
    assert len(refused(odyssey("show", "lstm", "--as", "x" * 100_000))) < 1_100
    assert "\x1b" not in refused(odyssey("show", "lstm", "\x1b[31m"))


# gradients


def test_gradients_writes_its_files_and_prints_a_table(odyssey, cwd):
    small = ("--steps", 12, "--hidden-size", 6, "--inputs", 3, "--seeds", 3)
    lines = table(odyssey("gradients", "elman", "lstm:forget_bias=5", *small))
    assert lines[0].split()[:4] == ["label", "steps", "to", "1/e"]
    named = [line.split()[0] for line in lines[1:] if line[0] != " "]
    assert named[:2] == ["elman", "lstm:forget_bias=5"]
    out = cwd / "results/runs/gradients"
    for name in ("norms.csv", "paths.csv", "figures/norms.png", "gradients.gif"):
        assert (out / name).stat().st_size > 0
    found = well(odyssey("gradients", "gru", *small, "--no-animation", "--json", "--out", "g")).json
    assert [row["label"] for row in found["summary"]] == ["gru"]
    assert "gif" not in found["files"]


def test_gradients_sweeps(odyssey, cwd):
    small = ("--steps", 6, "--hidden-size", 5, "--inputs", 3, "--seeds", 2, "--json")
    found = well(odyssey("gradients", "elman", *small, "--sweep", "spectral_radius=0.5,2")).json
    labels = [row["label"] for row in found["summary"]]
    assert labels == ["elman spectral_radius=0.5", "elman spectral_radius=2"]
    assert (cwd / found["files"]["horizon_by_spectral_radius"]).exists()
    assert well(odyssey("gradients", "elman", *small, "--sweep", "steps=3,6")).json["summary"]


def test_gradients_on_a_task_and_along_training(odyssey, cwd):
    small = ("--steps", 8, "--hidden-size", 5, "--seeds", 2, "--rows", 2)
    well(odyssey("gradients", "mut1", *small, "--task", "xml", "--out", "t"))
    called = odyssey(
        *("gradients", "elman", *small, "--train", "xml", "--updates", 4, "--every", 2),
        *("--set", "batch_size=2", "--set", "valid_characters=200", "--out", "n"),
    )
    text = well(called).out
    assert "elman: update 4" in text
    assert "elman update=4" in text
    assert (cwd / "n/figures/norms_by_update.png").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nonesuch",), "no cell called 'nonesuch'"),
        (("elman", "--steps", "0"), "steps must be an integer of at least 1"),
        (("elman", "--seeds", "0"), "--seeds must lie in 1 to 1000"),
        (("elman", "--sweep", "forget_bias=1"), "no equation called 'f'"),
        (("elman", "--sweep", "nothing=1"), "no setting to sweep called 'nothing'"),
        (("elman", "--sweep", "steps"), "expected numbers"),
        (("elman", "--sweep", "steps=1.5"), "expected numbers"),
        (("elman", "--sweep", "init_scale=nan"), "expected numbers"),
        (("elman", "--sweep", "steps=2", "--train", "xml"), "leave --train or --sweep out"),
        (("elman", "--set", "optimizer=sgd"), "--set goes with --train"),
        (("elman", "--task", "xml", "--train", "xml"), "not allowed with"),
        (("elman", "--train", "xml", "--every", "0"), "every 1 to 1000 updates"),
        (("elman", "--hidden-size", "1000000"), "take about"),
        (("elman", "--init", "zeros"), "no initial distribution"),
        (("flat.cell",), "has no recurrence"),
        (("elman", "--steps", "3", "--hidden-size", "3", "--out", "flat.cell"), "cannot write"),
    ],
)
def test_gradients_refuses(odyssey, cwd, arguments, says):
    flat = "cell flat\ninput x\nnot recurrent\ny = W @ x[t]\noutput y\n"
    (cwd / "flat.cell").write_text(flat)
    assert says in refused(odyssey("gradients", *arguments))


def test_show_the_jacobian(odyssey):
    text = well(odyssey("show", "lstm", "--as", "jacobian")).out
    assert "d c[t] / d c[t-1] = D(f)\n" in text
