"""A plug-in is loaded whole or not at all, and what is wrong with it is said in one line."""

import sys

import pytest
from support.plugged import forget

import odyssey
from odyssey.cells import LIBRARY, library_cell
from odyssey.cli.main import main
from odyssey.diagnostics.probes import PROBES
from odyssey.errors import CellError, ConfigError
from odyssey.expr import parse_cell
from odyssey.expr.primitives import PRIMITIVES
from odyssey.plugins import digests, installed, load, loaded
from odyssey.plugins.source import read_source
from odyssey.plugins.tables import TABLES, registry_of
from odyssey.specs import get_cell
from odyssey.transforms.ablations import ABLATIONS

LEAKY = "cell mine\ninput x\nstate h\nh[t] = tanh(W @ x[t] + u * h[t-1])\noutput h\n"
BASE = "from dataclasses import replace\nfrom odyssey.expr.primitives import PRIMITIVES as BASE\n"
GOOD = f"""
import numpy as np
PROBES = {{"ends": lambda text: np.array([c == "." for c in text], dtype=bool)}}
CELLS = {{"mine": {LEAKY!r}}}
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="my.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_rows_are_there_once_it_is_loaded(written):
    assert "mine" not in LIBRARY
    source = odyssey.load_plugin(written(GOOD))
    assert (source.name, loaded(), digests()) == ("my", (source,), (source.sha256,))
    assert PROBES.source("ends") == "my.py"
    assert get_cell("mine:drop_activation=h").name == "mine:drop_activation=h"
    assert library_cell("mine").key == parse_cell(LEAKY).key


def test_the_same_one_twice_is_harmless_and_another_version_is_refused(written):
    first = load(written(GOOD))
    assert load(written(GOOD)).sha256 == first.sha256
    with pytest.raises(ConfigError, match=r"is not the plug-in my that this process has loaded"):
        load(written(GOOD + "\n# changed\n"))
    assert loaded() == (first,)


def test_the_digest_is_that_of_the_code_and_its_cells(written):
    cell = written(LEAKY, "mine.cell")
    plain = read_source(str(written("CELLS = {'mine': 'mine.cell'}")))
    assert list(plain.files) == ["my.py", "mine.cell"]
    cell.write_text(LEAKY.replace("tanh", "relu"))
    assert read_source(str(written("CELLS = {'mine': 'mine.cell'}"))).sha256 != plain.sha256
    moved = written("CELLS = {'mine': 'mine.cell'}", "other.py")
    cell.write_text(LEAKY)
    assert read_source(str(moved)).sha256 == plain.sha256, "not of its name, so a copy is the same"


def test_a_module_is_named_by_its_dotted_name(written, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    written(GOOD, "some_cells.py")
    source = load("some_cells")
    assert (source.kept, source.is_file, source.label) == ("some_cells", False, "some_cells")
    assert "mine" in LIBRARY
    sys.modules.pop("some_cells")


@pytest.mark.parametrize("name", ["whole_package", "whole_package.rows"])
def test_a_module_brings_its_package_and_the_cells_beside_it(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "whole_package"
    folder.mkdir()
    for part in ("__init__", "rows"):
        (folder / f"{part}.py").write_text("CELLS = {'mine': 'mine.cell'}")
    (folder / "mine.cell").write_text(LEAKY)
    assert load(name).files == {}
    assert library_cell("mine").key == parse_cell(LEAKY).key
    before = read_source(name).sha256
    (folder / "imported.py").write_text("")
    assert read_source(name).sha256 != before
    for module in ("whole_package", "whole_package.rows"):
        sys.modules.pop(module, None)


def test_a_module_that_is_one_file_has_the_cells_that_it_names(written, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    written("CELLS = {'mine': 'mine.cell'}", "one_file_of_cells.py")
    without = read_source("one_file_of_cells").sha256
    written(LEAKY, "mine.cell")
    assert load("one_file_of_cells").sha256 != without
    assert "mine" in LIBRARY
    sys.modules.pop("one_file_of_cells")


BROKEN = {
    "syntax": ("PROBES = {", r"my.py, line 1: SyntaxError: '{' was never closed"),
    "import": ("import nonsense_of_mine", r"my.py, line 1: ModuleNotFoundError: No module"),
    "raises": ("x = 1\nraise ValueError('two\\nlines')", r"my.py, line 2: ValueError: two$"),
    "exits": ("import sys\nsys.exit(3)", r"my.py, line 2: SystemExit: 3$"),
    "empty": ("", r"my.py has none of the tables of a plug-in: PRIMITIVES, "),
    "misnamed table": ("PROBE = {}", r"my.py: PROBE is no table of a plug-in; did you mean PROBES"),
    "list": ("PROBES = [len]", r"my.py: PROBES must be a dict from names to rows, got list"),
    "no row": ("PRIMITIVES = {'f': 3}", r"PRIMITIVES: 'f' must be a Primitive .* got int"),
    "another row": (
        "from odyssey.transforms.ablations import Ablation\n"
        "TASKS = {'a': Ablation(len, (), 'nothing')}",
        r"my.py: TASKS: 'a' must be a TaskRow .* got Ablation",
    ),
    "two names": (
        f"{BASE}PRIMITIVES = {{'f': BASE['tanh']}}",
        r"PRIMITIVES: 'f' calls itself 'tanh': write the same name",
    ),
    "clash": (
        f"{BASE}PRIMITIVES = {{'tanh': BASE['tanh']}}",
        r"PRIMITIVES: 'tanh' is already a primitive of odyssey; give yours another name",
    ),
    "named form": (
        f"{BASE}PRIMITIVES = {{'silu': replace(BASE['tanh'], name='silu')}}",
        r"'silu' cannot name a primitive: it has another meaning",
    ),
    "name of a gate": (
        f"{BASE}PRIMITIVES = {{'g': replace(BASE['tanh'], name='g')}}",
        r"'g' cannot name a primitive: it has another meaning",
    ),
    "abbreviation": (
        "from odyssey.transforms.ablations import ABLATIONS as BASE\n"
        "ABLATIONS = {'NIG': BASE['no_bias']}",
        r"ABLATIONS: 'NIG' cannot name an? ablation",
    ),
    "no cell": ("CELLS = {'mine': 'cell mine'}", r"my.py: CELLS: 'mine': "),
    "no such file": ("CELLS = {'mine': 'mine.cell'}", r"there is no file mine.cell beside"),
    "cell of another name": (f"CELLS = {{'yours': {LEAKY!r}}}", r"'yours' calls itself 'mine'"),
    "no strategy": ("STRATEGIES = {'s': int}", r"'s' has no `ask` or no `tell`"),
    "probe of two": ("PROBES = {'p': lambda a, b: a}", r"'p' must take one argument, the text"),
    "direction": (
        "from odyssey.training.metrics import Metric\n"
        "METRICS = {'m': Metric(about='', measure=len, better='up')}",
        r"'m': better must be 'high' or 'low', got 'up'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said_in_one_line_and_nothing_stays(name, written, capsys):
    text, message = BROKEN[name]
    before = {table: dict(registry_of(table)) for table in TABLES}
    path = written(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert before == {table: dict(registry_of(table)) for table in TABLES}
    assert loaded() == ()
    assert main(["check", str(path)]) == 1
    assert main(["show", "lstm", "--plugin", str(path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second == f"odyssey: {caught.value}"


def test_a_plugin_is_loaded_whole_or_not_at_all(written):
    with pytest.raises(ConfigError, match="'p' must be a function"):
        load(written(GOOD.replace("PROBES = {", "PROBES = {'p': 3, ") + "\n"))
    assert "mine" not in LIBRARY
    load(written(GOOD))
    assert "mine" in LIBRARY


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("there_is_none.py", "there is no such file"),
        ("a-b.py", "use letters, digits and _"),
        ("no.such.module", "no plug-in called 'no.such.module'"),
        ("a b", "no plug-in called 'a b'"),
        (".", "no plug-in called"),
        ("/tmp/", "use letters, digits|is not a file"),
    ],
)
def test_what_is_no_plugin(spec, message):
    with pytest.raises(ConfigError, match=message):
        load(spec)


def test_files_that_are_no_text_or_too_long(tmp_path):
    path = tmp_path / "my.py"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path)
    path.write_text("#" * 1_000_001)
    with pytest.raises(ConfigError, match="too long"):
        load(path)


def test_short_names_and_single_changes_follow(written):
    from odyssey.transforms.neighbours import single_changes

    load(
        written(
            "from odyssey.transforms.ablations import ABLATIONS as BASE, Ablation, activation\n"
            "def sines(cell): return activation(cell, 'h', 'sin')\n"
            "ABLATIONS = {'sines': Ablation(sines, (), 'a sine', 'SIN')}"
        )
    )
    assert get_cell("elman:SIN").name == "elman:sines"
    assert "sines" in single_changes(library_cell("elman"))
    forget()
    assert "sines" not in ABLATIONS
    with pytest.raises(CellError, match="no ablation called 'SIN'"):
        get_cell("elman:SIN")


class Point:
    """An entry point."""

    def __init__(self, value):
        self.value = value


def test_entry_points_are_loaded_and_a_broken_one_is_a_line(written, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    written(GOOD, "entry_cells.py")
    written("1 / 0", "entry_broken.py")
    points = [Point("entry_cells"), Point("entry_broken:PLUGIN")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert installed() == {}, "switched off"
    monkeypatch.delenv("ODYSSEY_PLUGINS")
    assert main(["show", "mine"]) == 0
    said = capsys.readouterr()
    assert "cell mine" in said.out
    assert "entry_broken, line 1: ZeroDivisionError" in said.err
    assert said.err.count("\n") == 1
    sys.modules.pop("entry_cells")


def test_a_primitive_counts_everywhere(written):
    from odyssey.compiler.backends.eager import source
    from odyssey.transforms import constraints, node_mutations, random_cells

    load(
        written(
            f"{BASE}PRIMITIVES = {{n: replace(BASE[o], name=n, share=0.1) for n, o in"
            " {'tanh_too': 'tanh', 'log_too': 'log', 'sign_too': 'sign'}.items()}"
        )
    )
    assert {"tanh_too", "sign_too"} <= set(node_mutations.OTHERS)
    assert "log_too" not in node_mutations.OTHERS
    assert "log_too" in source._UNDEFINED_AT_ZERO
    assert "sign_too" in constraints._FLAT
    assert random_cells._SHARES["tanh_too"] == 0.1
    assert "tanh_too" in PRIMITIVES
    with pytest.raises(CellError, match="is a function"):
        parse_cell(LEAKY.replace("tanh", "relu").replace("u * h", "tanh_too * h"))
