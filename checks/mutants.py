"""How many small mistakes in the source the tests notice: `python checks/mutants.py`.

A mutant is a source file with one small change: a comparison turned or moved to its boundary, an
operator of arithmetic swapped, a constant one more or less, a condition negated, a statement left
out. A seeded sample of them, spread over `FILES`, meets the tests that reach the changed line,
quickest first, until one fails. A survivor is a gap in the tests, or equivalent; `REASONS` says
which, and why.

A fork server makes it affordable: this process has imported the heavy libraries once, and every
mutant is a fork of it that imports our modules anew, with the changed text in place of one. Which
tests reach a line is traced in a first pass and kept, with the verdicts, under build/mutants, so
that an interrupted run goes on where it was. Limits against hangs are in processor time, in
proportion to the same tests without a change.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import csv
import hashlib
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import threading
import tomllib
import traceback
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
REASONS = Path(__file__).with_suffix(".toml")
STRATEGIES = sorted(
    str(p.relative_to(ROOT)) for p in (ROOT / "odyssey/strategies").glob("[a-z]*.py")
)
"""What is mutated -> the tests that may notice."""
FILES = {
    "odyssey/expr/canonical.py": ("expr/test_canonical", "expr/test_canonical_limits"),
    "odyssey/compiler/autodiff.py": ("compiler/test_autodiff",),
    "odyssey/expr/schemes.py": ("expr/test_schemes",),
    "odyssey/training/loop.py": ("training/test_loop", "training/test_step"),
    "odyssey/training/optimizer_rules.py": ("training/test_optimizers", "training/test_step"),
    "odyssey/training/optimizers.py": ("training/test_optimizers", "training/test_step"),
    "odyssey/studies/evolve/evolution.py": ("studies/test_evolution", "studies/test_search"),
    **{path: ("strategies",) for path in STRATEGIES},
    "odyssey/storage/store.py": ("storage/test_store", "storage/test_files"),
    "odyssey/storage/shards.py": ("storage/test_store", "storage/test_files"),
    "odyssey/storage/files.py": ("storage/test_files", "storage/test_places"),
    "odyssey/statistics/estimates.py": ("statistics/test_estimates",),
    "odyssey/statistics/permutation.py": ("statistics/test_permutation",),
    "odyssey/statistics/comparison.py": (
        "statistics/test_comparison",
        "report/test_ablation_report",
    ),
}
BUDGET = 15.0  # processor seconds of tests, without a change, that a mutant meets
LIBRARIES = (
    "torch",
    "numpy",
    "pandas",
    "scipy.stats",
    "sympy",
    "pyarrow.parquet",
    "hypothesis",
    "seaborn",
)

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "abs": "float"}


@dataclass(frozen=True)
class Mutant:
    """One change: the text from `start` to `end` (offsets) becomes `after`."""

    file: str
    line: int
    operator: str
    start: int
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """Names the mutant by what it is, wherever the line has moved."""
        return f"{self.file}: {self.before} -> {self.after}"

    def text(self, source: str) -> str:
        return source[: self.start] + self.after + source[self.end :]


class Finder(ast.NodeVisitor):
    """Lists all mutants of a file; what only words errors or annotates is left alone."""

    def __init__(self, file: str, source: str) -> None:
        self.file, self.source, self.found = file, source, list[Mutant]()
        lines = source.encode().splitlines(keepends=True)
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))
        self.data = source.encode()
        self.visit(ast.parse(source))

    def offset(self, line: int, column: int) -> int:
        return len(self.data[: self.starts[line - 1] + column].decode())

    def add(self, operator: str, node: ast.AST, after: str | ast.AST) -> None:
        start = self.offset(node.lineno, node.col_offset)
        end = self.offset(node.end_lineno, node.end_col_offset)
        text = after if isinstance(after, str) else f"({ast.unparse(after)})"
        before = self.source[start:end]
        self.found.append(Mutant(self.file, node.lineno, operator, start, end, before, text))

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add("statement left out", node, "pass")

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name.startswith("__") or any(
            "overload" in ast.unparse(d) for d in node.decorator_list
        ):
            return
        for child in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(child)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for child in node.body:
            self.visit(child)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.add("statement left out", node, "pass")
            self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and ast.unparse(node.value) != "None":
            self.add("returns nothing", node, "return None")
            self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.add("loop control", node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self.add("loop control", node, "continue")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        swap = ARITHMETIC.get(type(node.op))
        if swap:
            self.add(
                "arithmetic", node, ast.unparse(ast.AugAssign(node.target, swap(), node.value))
            )
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self.negate(node.test)
        self.generic_visit(node)

    visit_While = visit_IfExp = visit_If

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.negate(test)
        self.generic_visit(node)

    def negate(self, test: ast.expr) -> None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self.add("condition negated", test, test.operand)
        elif not isinstance(test, ast.Compare) or len(test.ops) > 1:
            self.add("condition negated", test, ast.UnaryOp(ast.Not(), test))

    def visit_Compare(self, node: ast.Compare) -> None:
        for k, op in enumerate(node.ops):
            ops = [*node.ops[:k], COMPARISONS[type(op)](), *node.ops[k + 1 :]]
            self.add("comparison", node, ast.Compare(node.left, ops, node.comparators))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        swap = ARITHMETIC.get(type(node.op))
        if swap and not isinstance(node.left, ast.JoinedStr):
            self.add("arithmetic", node, ast.BinOp(node.left, swap(), node.right))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        swap = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add("and, or", node, ast.BoolOp(swap, node.values))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add("constant", node, repr(not node.value))
        elif isinstance(node.value, int):
            self.add("constant", node, f"({node.value + (1 if node.value <= 1 else -1)})")
        elif isinstance(node.value, float):
            self.add("constant", node, f"({node.value * 2 or 1.0})")

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in CALLS and (name != "sorted" or len(node.args) + len(node.keywords) == 1):
            self.add("function", node.func, CALLS[name])
        for k in range(len(node.keywords) if len(node.keywords) > 1 else 0):
            if node.keywords[k].arg:
                rest = [*node.keywords[:k], *node.keywords[k + 1 :]]
                self.add("argument left out", node, ast.Call(node.func, node.args, rest))
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        if node.lower and node.upper:
            self.add("slice", node, ast.unparse(ast.Slice(node.lower, None, node.step)))
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass


def sample(count: int, only: str) -> list[Mutant]:
    """Draws mutants: the same share of every file, but ten at least; the same ones every time."""
    found = {f: Finder(f, (ROOT / f).read_text()).found for f in FILES if (ROOT / f).exists()}
    whole = sum(map(len, found.values()))
    drawn = []
    for file, mutants in found.items():
        rng = random.Random(file)
        wanted = min(len(mutants), max(10, round(count * len(mutants) / whole)))
        if only in file:
            drawn += sorted(rng.sample(mutants, wanted), key=lambda m: m.start)
    return drawn


# forks


def forked(work, *, seconds: float) -> tuple[int, str]:
    """Runs `work(send)` in a fork; gives its exit code (-9: it hung) and what it sent."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setpgid(0, 0)
        soft = int(seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 5))
        resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30, 12 * 2**30))
        log = os.open(WORK / "last.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 99
        try:
            with os.fdopen(writer, "w") as file:
                code = work(file.write)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(int(code))
    os.close(writer)
    over = threading.Event()
    threading.Thread(target=_watch, args=(child, over), daemon=True).start()
    with os.fdopen(reader) as file:
        said = file.read()
    status = os.waitpid(child, 0)[1]
    over.set()
    _end(child)
    return os.waitstatus_to_exitcode(status), said


def _watch(child: int, over: threading.Event) -> None:
    """Ends a process that waits for ever: it has used no processor time for five minutes."""
    before = None
    while not over.wait(300):
        with contextlib.suppress(OSError):
            used = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13]
            if used == before:
                _end(child)
            before = used


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds one module before others do, with changed code."""

    def __init__(self, file: str, code: str | ast.Module) -> None:
        self.path, self.code = ROOT / file, code
        self.module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def find_spec(self, name, path=None, target=None):
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_source(self, name: str) -> str:
        return self.path.read_text()

    def exec_module(self, module) -> None:
        code = compile(self.code, str(self.path), "exec", dont_inherit=True)
        exec(code, module.__dict__)


def pytest_main(tests: list[str], *plugins: object) -> int:
    os.chdir(ROOT)
    flags = ["-q", "--tb=no", "-p", "no:cacheprovider"]
    flags += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins are imported already
    return int(pytest.main([*flags, *tests], plugins=list(plugins)))


# which tests reach a line


def watched(file: str) -> ast.Module:
    """Gives the tree of a file in which every statement of a function says that it runs."""
    tree = ast.parse((ROOT / file).read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        for inner in ast.walk(node):
            for field in ("body", "orelse", "finalbody"):
                body = getattr(inner, field, None)
                if isinstance(body, list) and not hasattr(inner, f"watched_{field}"):
                    setattr(inner, f"watched_{field}", True)
                    setattr(inner, field, [s for one in body for s in (_says(file, one), one)])
    return ast.fix_missing_locations(tree)


def _says(file: str, statement: ast.stmt) -> ast.stmt:
    inside = getattr(statement, "body", None)
    last = inside[0].lineno - 1 if inside else statement.end_lineno
    call = f"{NOTE}({file!r}, {statement.lineno}, {max(last, statement.lineno)})"
    return ast.copy_location(ast.parse(call).body[0], statement)


NOTE = "__mutants_note__"


class Tracer:
    """A pytest plugin that notes which lines of `FILES` each test runs.

    What a fixture or the import of a test file runs counts for all tests of that file.
    """

    def __init__(self) -> None:
        self.lines: set[tuple[str, int]] = set()
        self.shared: dict[str, set] = defaultdict(set)
        self.tests: dict[str, tuple[float, set]] = {}
        setattr(builtins, NOTE, self.note)
        sys.meta_path[:0] = [Changed(file, watched(file)) for file in FILES]

    def note(self, file: str, first: int, last: int) -> None:
        self.lines.update((file, line) for line in range(first, last + 1))

    def start(self, lines: set) -> None:
        self.lines = lines

    def stop(self) -> None:
        self.lines = set()

    def pytest_collection_finish(self, session) -> None:
        markers = ("slow", "ray")
        session.items[:] = [
            item for item in session.items if not any(map(item.get_closest_marker, markers))
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self, session):
        self.start(self.shared["collection"])
        try:
            return (yield)
        finally:
            self.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        self.start(self.shared["setup"])
        try:
            return (yield)
        finally:
            self.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        lines, before = set(), sum(os.times()[:4])
        self.start(lines)
        try:
            return (yield)
        finally:
            self.stop()
            self.tests[item.nodeid] = sum(os.times()[:4]) - before, lines

    def as_json(self) -> str:
        shared = set().union(*self.shared.values())
        rows = {
            name: {"seconds": seconds, "lines": sorted(lines | shared)}
            for name, (seconds, lines) in self.tests.items()
        }
        return json.dumps(rows)


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(p.read_bytes() for p in paths)).hexdigest()[:16]


def test_files(file: str) -> list[Path]:
    """Lists the test files that may notice a change of a file."""
    found = []
    for name in FILES[file]:
        path = ROOT / "tests" / name
        found += sorted(path.glob("test_*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [path for path in found if path.exists()]


def coverage(path: Path) -> dict:
    """Gives the tests of a file, and the lines that each reaches; traced once."""
    sources = [ROOT / f for f in FILES if path in test_files(f)]
    kept = WORK / "lines" / f"{path.stem}-{digest(path, *sources)}.json"
    if not kept.exists():
        print(f"tracing {path.relative_to(ROOT)}", flush=True)

        def work(send) -> int:
            tracer = Tracer()
            code = pytest_main([str(path.relative_to(ROOT))], tracer)
            send(tracer.as_json())
            return code

        code, said = forked(work, seconds=1800)
        if code:
            raise SystemExit(f"{path} does not pass without a change (pytest ended with {code})")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(said)
    return json.loads(kept.read_text())


def tests_for(mutant: Mutant, covered: dict) -> tuple[list[str], float]:
    """Chooses the tests that reach a line, the quickest first, and what they take unchanged."""
    tree = ast.parse((ROOT / mutant.file).read_text())
    inside = any(
        isinstance(n, ast.FunctionDef) and n.body[0].lineno <= mutant.line <= n.end_lineno
        for n in ast.walk(tree)
    )
    last = mutant.line + mutant.before.count("\n")
    lines = {(mutant.file, k) for k in range(mutant.line, last + 1)}
    reach = []
    for path in test_files(mutant.file):
        for name, test in covered[path].items():
            if not inside or any(tuple(line) in lines for line in test["lines"]):
                reach.append((test["seconds"], name))
    chosen, spent = [], 0.0
    for seconds, name in sorted(reach):
        if spent + seconds > BUDGET:
            break
        chosen.append(name)
        spent += seconds
    return chosen, spent


class First:
    """A pytest plugin that keeps the name of the first test that fails."""

    name = ""

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


def judge(mutant: Mutant, covered: dict) -> dict:
    """Gives the verdict on a mutant: killed (and by which test), hung, survived, or not reached."""
    tests, seconds = tests_for(mutant, covered)
    row = {**asdict(mutant), "tests": len(tests), "by": ""}
    if not tests:
        return {**row, "verdict": "not reached"}
    source = (ROOT / mutant.file).read_text()

    def work(send) -> int:
        sys.meta_path.insert(0, Changed(mutant.file, mutant.text(source)))
        first = First()
        code = pytest_main(["-x", *tests], first)
        send(first.name)
        return code

    code, said = forked(work, seconds=40 + 4 * seconds)  # fixtures are not in `seconds`
    if code == 0:
        return {**row, "verdict": "survived"}
    return {**row, "verdict": "killed" if code in (1, 2, 3, 4) else "hung or crashed", "by": said}


# the record


def finished(path: Path) -> dict[str, dict]:
    """Reads the verdicts by mutant, the last of each."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def holds(row: dict | None, source: str, tests: str) -> bool:
    """Whether a verdict is still true: what was killed is dead as long as its file is the same."""
    if row is None or row["source"] != source:
        return False
    return row["verdict"] not in ALIVE or row["test_files"] == tests


def reasons() -> dict[str, str]:
    return tomllib.loads(REASONS.read_text())["equivalent"] if REASONS.exists() else {}


HEAD = """# Mutants

`python checks/mutants.py`: one small change each, and whether a test notices. The score leaves
out what changes no behaviour (equivalent).

| file | mutants | killed | survived | of these equivalent | score |
|---|--:|--:|--:|--:|--:|
"""
ALIVE = ("survived", "not reached")


def one_line(text: str) -> str:
    return " ".join(text.split())


def reason_key(row: dict) -> str:
    """Names a survivor by its line as it reads, which moves less than its number does."""
    line = (ROOT / row["file"]).read_text().splitlines()[int(row["line"]) - 1]
    return one_line(f"{row['file']}: {line}: {row['before']} -> {row['after']}")


def write_document(rows: list[dict], path: Path) -> None:
    """Writes the table by file, and every survivor with its reason."""
    why, count = reasons(), defaultdict(Counter)
    survivors = [row for row in rows if row["verdict"] in ALIVE]
    for row in survivors:
        row["why"] = why.get(reason_key(row), "")
    for row in rows:
        count[row["file"]]["all"] += 1
        count[row["file"]]["alive"] += row in survivors
        count[row["file"]]["equivalent"] += bool(row.get("why"))
    total = sum(count.values(), Counter())
    text = HEAD
    for file, c in [*count.items(), ("**all**", total)]:
        killed = c["all"] - c["alive"]
        score = killed / max(1, c["all"] - c["equivalent"])
        cells = (file, c["all"], killed, c["alive"], c["equivalent"], f"{score:.0%}")
        text += f"| {' | '.join(map(str, cells))} |\n"
    text += "\n## Survivors\n\n| where | before | after | why |\n|---|---|---|---|\n"
    for row in survivors:
        before, after = (one_line(row[k]).replace("|", "\\|") for k in ("before", "after"))
        reason = row["why"] or f"a gap: {row['verdict']}"
        text += f"| {row['file']}:{row['line']} | `{before}` | `{after}` | {reason} |\n"
    path.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=350, help="mutants, about")
    parser.add_argument("--only", default="", metavar="WORD", help="files whose path holds it")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(WORK / "hypothesis")
    for name in LIBRARIES:
        importlib.import_module(name)
    WORK.mkdir(parents=True, exist_ok=True)
    verdicts = WORK / "verdicts.csv"
    known, rows = finished(verdicts), []
    for mutant in sample(options.count, options.only):
        files = test_files(mutant.file)
        source, tests = digest(ROOT / mutant.file), digest(*files)
        name = f"{mutant.start} {mutant.name}"
        row = known.get(name)
        if not holds(row, source, tests):
            row = judge(mutant, {path: coverage(path) for path in files})
            row = {"name": name, "source": source, "test_files": tests, **row}
            with verdicts.open("a", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
            shown = " ".join(mutant.name.split())
            print(f"{row['verdict']:16} {mutant.line:4} {shown}", flush=True)
        rows.append(row)
    if options.out:
        write_document(rows, options.out)
    for row in rows:
        if row["verdict"] in ALIVE:
            print(f"{row['verdict']}: {reason_key(row)}")
    print(Counter(row["verdict"] for row in rows))


if __name__ == "__main__":
    main()
