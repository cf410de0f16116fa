"""What a cell has of the language beyond elementwise arithmetic and maps of vectors of H units."""

from odyssey.expr.reductions import REDUCTIONS


def wide_forms(cell):
    """Names what a cell has: declared sizes, reductions, matrix states and the like."""
    nodes = cell.program.nodes
    declared = (s for d in (*cell.state_sizes, *cell.weights) for s in d.sizes)
    found = {
        "declared sizes": bool(cell.sizes or {*declared} - {"H", "I"}),
        "one number a row": any(n.size == "1" and n.op != "constant" for n in nodes),
        "reductions": any(n.op in REDUCTIONS for n in nodes),
        "matrix states": any(len(d.sizes) > 1 for d in cell.state_sizes),
        "transposes": any(n.transposed for n in nodes),
        "properties of weights": any(w.properties for w in cell.weights),
        "delays": any(e.updates_state and e.value.is_Symbol for e in cell.equations),
        "constants": bool(cell.constants),
        "starting values": bool(cell.starts),
    }
    return [name for name, there in found.items() if there]
