"""What a backend may receive; a violation is our own bug, so these are assertions."""

from __future__ import annotations

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import LEAF_OPS, REGIONS, Program
from odyssey.expr.reductions import OVER_UNITS
from odyssey.expr.sizes import is_matrix


def verify_program(program: Program, *, final: bool) -> None:
    """Asserts that a program is well formed.

    Args:
        program: The program.
        final: Whether all passes have run: regions are assigned and products stacked.
    """
    nodes = program.nodes
    for k, node in enumerate(nodes):
        where = f"{program.name}: %{k} {node.op}"
        assert all(0 <= a < k for a in node.args), f"{where} reads what is not yet computed"
        if node.op in LEAF_OPS:
            assert not node.args, f"{where} is a leaf with arguments"
        elif node.op == "matmul":
            rows, columns = program.matrices[node.name][:: -1 if node.transposed else 1]
            assert len(node.args) == 1, f"{where} reads one value"
            operand = nodes[node.args[0]].size
            assert node.size == rows, f"{where}: size {node.size}, matrix gives {rows}"
            assert operand == columns or program.square, f"{where}: {operand} into {columns}"
        else:
            own = ARITHMETIC.get(node.op) or PRIMITIVES.get(node.op)
            arity = own.arity if own else 1  # of a reduction
            assert own or node.op in OVER_UNITS, f"{where} is no operation"
            assert len(node.args) == arity, f"{where} takes {arity} arguments"
            sizes = {nodes[a].size for a in node.args if not is_matrix(nodes[a].size)} - {"1"}
            assert len(sizes) <= 1 or program.square, f"{where} mixes sizes {sizes}"
        if node.op == "vector":
            assert program.vectors[node.name] == node.size, f"{where} has size {node.size}"
        if node.op == "input" and node.name:
            assert program.inputs[node.name] == node.size, f"{where} has size {node.size}"
        if node.op == "previous":
            assert node.name in program.states, f"{where} reads no state"
    assert len(program.updates) == len(program.states)
    assert all(0 <= r < len(nodes) for r in program.roots)
    if final:
        _verify_placement(program)


def _verify_placement(program: Program) -> None:
    order = {region: k for k, region in enumerate(REGIONS)}
    for k, node in enumerate(program.nodes):
        assert node.region in order, f"%{k} has no region"
        latest = max((order[program.nodes[a].region] for a in node.args), default=0)
        assert order[node.region] >= latest, f"%{k} runs before what it reads"
        if node.op == "previous":
            assert node.region == "step", f"%{k}: a state outside the loop"
        if node.op == "input":
            assert node.region == "sequence", f"%{k}: the input has a value for every step"
    maps = sorted(k for k, n in enumerate(program.nodes) if n.op == "matmul")
    assert sorted(r for g in program.groups for r in g.results) == maps, (
        "a map is in no group or two"
    )
    for group in program.groups:
        for r in group.results:
            assert program.nodes[r].args == (group.operand,), f"%{r} reads another operand"
            assert program.nodes[r].region == group.region, f"%{r} is in another region"
