"""The command starts quickly: nothing heavy is imported before it is needed."""

import json
import statistics

import pytest
from driving import python

HEAVY = ("torch", "ray", "sympy", "numpy", "pandas", "pyarrow", "scipy", "matplotlib", "rich")


def heavy_imports(program, cwd):
    report = f"import json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    done = python("-c", f"{program}\n{report}", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "program",
    [
        "import odyssey",
        "import odyssey.cli.main",
        "from odyssey.cli.main import main; assert main(['--help']) == 0",
    ],
)
def test_what_starts_quickly_imports_nothing_heavy(program, tmp_path):
    assert heavy_imports(program, tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cells"], 0),
        (["show", "lstm"], 0),
        (["show", "lstmm"], 2),
        (["search", "no-such-study.toml"], 2),
        (["train", "lstmm", "--task", "xml"], 2),
        (["data", "list"], 0),
    ],
)
def test_torch_ray_and_pandas_wait_until_something_is_trained(arguments, code, tmp_path):
    program = f"from odyssey.cli.main import main; assert main({arguments}) == {code}"
    assert not {"torch", "ray", "pandas", "matplotlib"} & set(heavy_imports(program, tmp_path))


@pytest.mark.parametrize("arguments", [("-c", "import odyssey"), ("-m", "odyssey", "--help")])
def test_half_a_second_is_enough(arguments, tmp_path):
    calls = [python(*arguments, cwd=tmp_path) for _ in range(5)]
    assert [done.returncode for done in calls] == [0] * 5
    assert statistics.median(done.seconds for done in calls) < 0.5
