"""Each contract finds the fault that it is there for, and says it in words."""

import pytest

from odyssey.contracts.finding import MISSING, OK, WRONG
from odyssey.contracts.plugin import check_plugin
from odyssey.plugins import load

TANH = "from dataclasses import replace\nfrom odyssey.expr.primitives import PRIMITIVES as BASE\n"


def primitive(changes, of="tanh"):
    return (
        f"{TANH}import math\nPRIMITIVES = {{'mine': replace(BASE[{of!r}], name='mine', {changes})}}"
    )


ABLATION = """
from odyssey.transforms.ablations import Ablation
from odyssey.errors import CellError
def apply(cell):
    {body}
ABLATIONS = {{"mine": Ablation(apply, (), "something")}}
"""
MUTATION = """
import numpy as np
from odyssey.transforms.ablations import activation, no_bias
from odyssey.transforms.mutations import Mutation, NotApplicable
def apply(cell, rng):
    {body}
MUTATIONS = {{"mine": Mutation("mine", "something", apply, {weight}, "mine")}}
"""
TASK = """
import numpy as np
from odyssey.tasks.base import guess
from odyssey.tasks.generated import GeneratedTask, from_rows
from odyssey.tasks.registry import TaskRow
class Mine(GeneratedTask):
    def __init__(self, name):
        super().__init__({name}, symbols=("a", "b", "."), counted="b", mean_length=3,
                         prime="a", options={{}})
        self.chance = guess({chance})
    def draw(self, rng, count):
        rows = np.zeros((count, 3), np.uint8)
        rows[:, :2] = {letters}
        rows[:, 2] = {end}
        return from_rows(rows, np.array([True, True, False]))
TASKS = {{"mine": TaskRow("something", (), lambda name, values: Mine(name))}}
"""
GOOD_TASK = {"name": "name", "chance": "[1.0, 1.0]", "end": "2"}
GOOD_TASK["letters"] = "rng.integers(2, size=(count, 2))"
ELSEWHERE = "np.random.default_rng().integers(2, size=(count, 2))"  # from no generator of ours
STRATEGY = """
import numpy as np
class Mine:
    def __init__(self, breeder, *, {options}):
        self.breeder, self.seeds, self.asked = breeder, [], 0
    def ask(self, rng):
        {ask}
    def tell(self, outcome):
        self.seeds.append(outcome)
STRATEGIES = {{"mine": Mine}}
"""
METRIC = """
from odyssey.training.metrics import Metric
METRICS = {{"mine": Metric(about="mine", measure={measure}, better="high", chance={chance})}}
"""
OPTIMIZER = """
from odyssey.training.optimizer_rules import OptimizerRule
def step(o, g, rate):
    {body}
OPTIMIZERS = {{"mine": OptimizerRule({running}, step)}}
"""
PROBE = "import numpy as np\nPROBES = {{'mine': lambda text: {}}}"
HIT = "lambda p: float((p.rank == 0).mean())"

# what is written -> the check that finds it, and what it says
BROKEN = {
    primitive("derivative=('1 + y * y',)"): ("derivative beside finite", "derivative by a differs"),
    primitive("derivative=('0 * a',)"): ("complete", "a gradient never passes"),
    primitive("derivative=('1 - z',)"): ("formulas are readable", "names z"),
    primitive("torch='torch.sin'"): ("torch beside numpy", "torch differs from numpy"),
    primitive("torch='torch.nonsense'"): ("torch beside numpy", "raises AttributeError"),
    primitive("mpmath=lambda m, a: m.sin(a)"): ("mpmath beside numpy", "mpmath differs"),
    primitive("interval=lambda a: (-0.5, 0.5)"): ("interval holds", "and the values reach from"),
    primitive("parity=0"): ("parity", "the function is odd"),
    primitive("parity=1"): ("parity", "parity 1 does not hold"),
    primitive("edge='jump'"): ("edge at 0", "edge is 'jump', and the values say ''"),
    primitive("exact=lambda v: None"): ("exact values", "exact(0) is None, and the value is 0"),
    primitive("latex='tanh'"): ("complete", "latex does not name {0}"),
    primitive("same_as='a'"): ("same_as", "same_as at"),
    primitive("onnx='Sin(a)'"): ("onnx", "onnx differs"),
    primitive("c='x * x'"): ("c beside numpy", "in float32 the value at"),
    primitive("c='x +'"): ("c beside numpy", "raises"),
    ABLATION.format(body="return cell"): ("gives legal, other cells", "leaves elman as it is"),
    ABLATION.format(body="raise CellError('never')"): ("gives legal", "applies to none of"),
    ABLATION.format(body="return 3"): ("gives legal", "raises AttributeError"),
    MUTATION.format(body="raise NotApplicable('never')", weight=1): (
        "gives legal cells",
        "applies to none of",
    ),
    MUTATION.format(
        body="return activation(cell, 'h', ['sin', 'cos'][np.random.default_rng().integers(2)])",
        weight=1,
    ): ("gives legal cells", ""),
    MUTATION.format(body="return no_bias(cell)", weight=-1): ("complete", "weight is a number"),
    TASK.format(**GOOD_TASK | {"name": "'yours'"}): (
        "is made and describes",
        "calls itself 'yours'",
    ),
    TASK.format(**GOOD_TASK | {"chance": "[9.0, 1.0]"}): ("chance", "targets' frequencies say"),
    TASK.format(**GOOD_TASK | {"end": "7"}): ("batches", "are not in 0 to 2"),
    TASK.format(**GOOD_TASK | {"letters": "1"}): ("the seed decides", "the seed changes nothing"),
    TASK.format(**GOOD_TASK | {"letters": ELSEWHERE}): (
        "the seed decides",
        "the same seed gives other",
    ),
    STRATEGY.format(options="size=3", ask="return None"): ("proposals", "in 0 of 50 rounds"),
    STRATEGY.format(options="size='3'", ask="return self.breeder.scratch(rng)"): (
        "options",
        "has no default that is a number",
    ),
    STRATEGY.format(options="size=3", ask="return self.breeder.scratch(np.random.default_rng())"): (
        "follows from its random",
        "give another search",
    ),
    STRATEGY.format(
        options="size=3",
        ask="self.asked += 1; return self.breeder.scratch(np.random.default_rng([self.asked,"
        " int(rng.integers(99))]))",
    ): ("asking changes nothing", "ask changes what is asked next"),
    PROBE.format("np.zeros(3)"): ("a number", "expected 0"),
    PROBE.format("np.zeros(len(text))"): ("varies", "is the same"),
    OPTIMIZER.format(running=(), body="return rate * g.norm() * g.sign()"): (
        "members are independent",
        "has other numbers alone",
    ),
    OPTIMIZER.format(running=(), body="return -rate * g"): ("descends", "does not go down"),
    OPTIMIZER.format(running=(), body="m = o.running('m', g); m.add_(g); return rate * m"): (
        "shape and state",
        "it keeps ['m']",
    ),
    METRIC.format(measure=f"lambda p: -({HIT})(p)", chance=None): ("direction", "good predictions"),
    METRIC.format(measure="lambda p: p.nats", chance=None): ("gives a number", "not one number"),
    METRIC.format(measure=HIT, chance="lambda size: 2.0"): (
        "chance",
        "better than good predictions",
    ),
}


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_fault_is_found_by_its_check(number, tmp_path):
    text, (check, message) = list(BROKEN.items())[number]
    path = tmp_path / "my.py"
    path.write_text(text)
    found = {f.check: f for f in check_plugin(load(path)) if f.verdict == WRONG}
    by = [f for name, f in found.items() if name.startswith(check)]
    assert by, f"{check!r} is not among what is wrong: {found}"
    assert message in by[0].message
    assert "\n" not in by[0].message


def test_what_is_optional_is_missing_and_not_wrong(tmp_path):
    path = tmp_path / "my.py"
    path.write_text(
        primitive("c='', onnx=''")
        + "\nCELLS = {'plain': 'cell plain\\ninput x\\nstate h\\nh[t] = mine(W @ x[t] + U @"
        " h[t-1] + b)\\noutput h\\n'}\n" + METRIC.format(measure=HIT, chance=None)
    )
    found = list(check_plugin(load(path)))
    assert {f.verdict for f in found} == {OK, MISSING}
    missing = {(f.table, f.check.partition(" ")[0]) for f in found if f.verdict == MISSING}
    assert missing == {
        ("PRIMITIVES", "onnx"),
        ("PRIMITIVES", "c"),
        ("CELLS", "where"),
        ("METRICS", "chance"),
    }


def test_a_primitive_without_c_takes_eager(tmp_path):
    from odyssey.compiler import RNN
    from odyssey.expr import parse_cell

    path = tmp_path / "my.py"
    path.write_text(primitive("c=''"))
    load(path)
    text = "cell a\ninput x\nstate h\nh[t] = mine(W @ x[t] + U @ h[t-1])\noutput h\n"
    assert RNN(parse_cell(text), 2, 3).backend == "eager"
