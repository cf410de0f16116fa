"""The command starts quickly: nothing heavy is imported before it is needed."""

import json

import pytest
from support.driving import python


@pytest.mark.parametrize(
    "program",
    [
        "import odyssey",
        "import odyssey.cli.main",
        "from odyssey.cli.main import main; assert main(['--help']) == 0",
    ],
)
def test_what_starts_quickly_imports_nothing_but_the_standard_library(program, tmp_path):
    report = """
import sys
before = set(sys.modules)  # what the interpreter itself needs to start
PROGRAM
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - set(sys.stdlib_module_names)), len(set(sys.modules) - before))
"""
    done = python("-c", report.replace("PROGRAM", program), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded, _, count = done.stdout.splitlines()[-1].rpartition(" ")
    assert loaded == "['odyssey']"
    assert int(count) < 60


COMMANDS = [
    (["cells"], 0),
    (["show", "lstm"], 0),
    (["show", "lstmm"], 2),
    (["search", "no-such-study.toml"], 2),
    (["train", "lstmm", "--task", "xml"], 2),
    (["data", "list"], 0),
    (["promote", "--help"], 0),
]

HEAVY = """
import json, sys
import odyssey
for name in ("Run", "train", "search", "compare"):
    getattr(odyssey, name)
from odyssey.cli.main import main
found = []
for arguments in json.loads(sys.argv[1]):
    code = main(arguments)
    heavy = sorted({"torch", "ray", "pandas", "matplotlib"} & set(sys.modules))
    found.append([arguments, code, heavy])
print("\\n" + json.dumps(found))
"""


def test_torch_ray_and_pandas_wait_until_something_is_trained(tmp_path):
    done = python("-c", HEAVY, json.dumps([arguments for arguments, _ in COMMANDS]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [[arguments, code, []] for arguments, code in COMMANDS]
