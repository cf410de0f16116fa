"""Specs: how a cell is named."""

import pytest

from odyssey.cells import LIBRARY, library_cell
from odyssey.errors import CellError
from odyssey.expr.limits import MAX_CHARACTERS
from odyssey.specs import CELL_SETS, VARIANTS, expand, get_cell, list_cells, read_cell
from odyssey.transforms.ablations import ablate


def refusal(spec):
    with pytest.raises(CellError) as caught:
        get_cell(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_library_is_listed():
    assert list_cells() == list(LIBRARY)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_library_name_is_a_spec(name):
    assert get_cell(name) is library_cell(name)
    assert get_cell(f"  {name} ") is library_cell(name)


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        ("lstm_peephole:no_forget_gate", ["no_forget_gate"]),
        ("lstm:no_output_gate+forget_bias=2", ["no_output_gate", "forget_bias=2"]),
        ("lstm:activation=g:relu + no_bias", ["activation=g:relu", "no_bias"]),
        ("lstm_peephole:NIG+NOAF", ["NIG", "NOAF"]),
    ],
)
def test_ablations_apply_from_left_to_right(spec, steps):
    cell = library_cell(spec.split(":")[0])
    for step in steps:
        cell = ablate(cell, step)
    assert get_cell(spec) == cell
    assert get_cell(spec).lineage == cell.lineage
    assert get_cell(cell.name) == cell, "a cell's name is a spec of it"


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_literature(name):
    cell = get_cell(name)
    assert cell == get_cell(VARIANTS[name])
    assert cell.lineage[0] in ("lstm_peephole", "lstm_jozefowicz")
    assert get_cell(f"{name}:no_bias=g").lineage[-1] == "no_bias=g"


def test_sets_expand_to_cells():
    assert len(CELL_SETS["odyssey9"]) == 9
    assert len(CELL_SETS["jozefowicz10"]) == 10
    for members in CELL_SETS.values():
        assert len({get_cell(spec).key for spec in members}) == len(members)
    assert expand(["gru", "odyssey9", "lstm:NOG"]) == ["gru", *CELL_SETS["odyssey9"], "lstm:NOG"]
    assert "'odyssey9' is a set of cells" in refusal("odyssey9")


def test_a_file_is_a_base(tmp_path, monkeypatch):
    path = tmp_path / "my.cell"
    path.write_text(library_cell("lstm").text.replace("cell lstm", "cell mine"))
    cell = get_cell(f"{path}:NOG+forget_bias=1")
    assert cell.name == "mine:no_output_gate+forget_bias=1"
    assert cell.lineage == ("mine", "no_output_gate", "forget_bias=1")
    assert cell.key == get_cell("lstm:NOG+forget_bias=1").key
    monkeypatch.chdir(tmp_path)
    assert get_cell("my.cell") == get_cell("./my.cell") == get_cell(str(path))
    (tmp_path / "lstm.cell").write_text(path.read_text())
    assert get_cell("lstm") is library_cell("lstm")
    assert get_cell("lstm.cell").name == "mine"


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "windows.cell"
    path.write_bytes(b"\xef\xbb\xbf" + library_cell("gru").text.replace("\n", "\r\n").encode())
    assert read_cell(path) == library_cell("gru")


def test_a_mistake_in_a_file_names_file_and_line(tmp_path):
    path = tmp_path / "bad.cell"
    path.write_text("cell bad\ninput x\nstate h\nh[t] = tnah(W @ x[t])\noutput h\n")
    message = refusal(str(path))
    assert message.startswith(f"{path}: line 4: ")
    assert "closest: tanh" in message


def test_files_that_cannot_be_read(tmp_path):
    assert "there is no such file" in refusal(str(tmp_path / "none.cell"))
    assert "is not a file" in refusal(str(tmp_path))
    (tmp_path / "folder.cell").mkdir()
    assert "is not a file" in refusal(str(tmp_path / "folder.cell"))
    (tmp_path / "latin.cell").write_bytes("cell é".encode("latin-1"))
    assert "not UTF-8 text (byte 5)" in refusal(str(tmp_path / "latin.cell"))
    (tmp_path / "huge.cell").write_bytes(b"#" * (4 * MAX_CHARACTERS + 1))
    assert "too long" in refusal(str(tmp_path / "huge.cell"))
    (tmp_path / "long.cell").write_bytes(b"#" * (MAX_CHARACTERS + 1))
    assert "at most 50,000 are read" in refusal(str(tmp_path / "long.cell"))
    assert "File name too long" in refusal("a" * 300 + ".cell")
    (tmp_path / "loop.cell").symlink_to(tmp_path / "loop.cell")
    assert "loop.cell" in refusal(str(tmp_path / "loop.cell"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "an empty spec"),
        ("lstmm", "no cell called 'lstmm'; closest: lstm"),
        ("mut4", "closest: mut"),
        ("nofg", "no cell called 'nofg'"),
        ("lstm:", "an ablation must follow the colon"),
        ("lstm:no_forget_gat", "closest: no_forget_gate"),
        ("lstm:no_forget_gate+", "no ablation called ''"),
        ("x" * 401, "spec of 401 characters; at most 400 are read"),
        ("gru:no_input_gate", "gru: no gate called 'i'; choose one of r, z"),
    ],
)
def test_messages(spec, message):
    assert message in refusal(spec)


@pytest.mark.parametrize("spec", [None, 3, b"lstm", ["lstm"]])
def test_what_is_no_text_is_refused(spec):
    assert refusal(spec)
