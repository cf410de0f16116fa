"""The library: its cells, the variants of the papers, and the ablations; one cell on a page."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from odyssey.cells import CHECKED, FAMILIES, LIBRARY, LibraryEntry, library_cell, library_entry
from odyssey.errors import ConfigError, suggest
from odyssey.expr import Cell
from odyssey.expr.initial import format_init
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.sizes import ONE, axes, parts
from odyssey.registry import BUILT_IN
from odyssey.specs import CELL_SETS, VARIANTS, list_cells
from odyssey.transforms.ablations import ABLATIONS
from odyssey.transforms.applicable import applicable

_WIDTH = 100
PLUGIN = "plug-in"  # the family of cells of plug-ins that say none


def cell_rows(family: str = "") -> list[dict[str, Any]]:
    """Describes every cell of the library, or those of a family.

    Raises:
        ConfigError: There is no such family.
    """
    if family and family not in FAMILIES:
        raise ConfigError(suggest(family, FAMILIES, what="family"))
    entries = map(library_entry, list_cells())
    return [_row(entry) for entry in entries if family in ("", entry.family)]


def _row(entry: LibraryEntry) -> dict[str, Any]:
    cell = library_cell(entry.name)
    source = LIBRARY.source(entry.name)
    plugin = "" if source == BUILT_IN else source
    return {
        "cell": entry.name,
        "family": entry.family or PLUGIN,
        "year": entry.year or None,
        "states": ", ".join(cell.states),
        "parameters": parameter_formula(cell),
        "about": entry.about or f"of the plug-in {plugin}",
        "key": cell.key[:8],
        "source": cell.citation,
        "arxiv": entry.arxiv,
        "differs": entry.differs,
        "checked": entry.checked,
        "plugin": plugin,
    }


def shown_row(row: dict[str, Any]) -> dict[str, Any]:
    """Leaves the columns of a row that fit into a terminal; the page of a cell has the others."""
    shown = {name: row[name] for name in ("cell", "family", "year", "parameters", "about")}
    return shown | {"year": str(row["year"] or "")}  # no comma in it


def cell_page_facts(name: str) -> dict[str, Any]:
    """Gives all that the page of a library cell says, as plain data.

    Raises:
        CellError: There is no such cell.
    """
    entry = library_entry(name)
    cell = library_cell(name)
    return {
        **_row(entry),
        "equations": [line for line in cell.text.splitlines() if _is_equation(line)],
        "output": cell.output,
        "square": infer_shapes(cell).square,
        "init": {init.parameter: format_init(init) for init in cell.inits},
        "key": cell.key,
        "ablations": applicable(cell),
    }


def _is_equation(line: str) -> bool:
    return " = " in line and not line.startswith(("init ", "cite "))


def cell_page(name: str) -> str:
    """Writes a page about a library cell: source, equations, weights, ablations.

    Raises:
        CellError: There is no such cell.
    """
    facts = cell_page_facts(name)
    inits = ", ".join(f"{weight} = {value}" for weight, value in facts["init"].items())
    bare = [n for n, arguments in facts["ablations"].items() if "" in arguments]
    rows = [
        ("states", f"{facts['states'] or 'none'}; the output is {facts['output']}"),
        ("parameters", facts["parameters"] + ("; needs I = H" if facts["square"] else "")),
        ("initial", inits or "none stated"),
        ("differs", facts["differs"]),
        ("checked", _checked(facts["checked"])),
        ("plug-in", facts["plugin"]),
        ("key", facts["key"]),
        ("ablations", ", ".join(bare)),
    ]
    for ablation, arguments in facts["ablations"].items():
        given = ", ".join(_shown_arguments(ablation, filter(None, arguments)))
        rows += [("", f"{ablation} = {given}")] if given else []
    source = facts["source"] or "without a source"
    if facts["arxiv"] and facts["arxiv"] not in source:
        source += f"; arXiv {facts['arxiv']}"
    paragraphs = (_wrapped(text) for text in (source, facts["about"]))
    return "\n".join(
        [
            f"{name} ({', '.join(str(facts[k]) for k in ('family', 'year') if facts[k])})",
            *paragraphs,
            "",
            *(f"    {line}" for line in facts["equations"]),
            "",
            *(_wrapped(text, title) for title, text in rows if text),
            "",
        ]
    )


def _checked(word: str) -> str:
    return f"{word}: {CHECKED[word]}" if word else ""


def _shown_arguments(ablation: str, arguments: Iterable[str]) -> list[str]:
    """Writes FUNCTION, VALUE or STEPS in place of what stood for any of them."""
    kinds = [kind.rstrip("?") for kind in ABLATIONS[ablation].arguments]
    free = {k: kind.upper() for k, kind in enumerate(kinds) if kind in _FREE}
    split = (argument.split(":") for argument in arguments)
    return [":".join(free.get(k, part) for k, part in enumerate(parts)) for parts in split]


_FREE = ("function", "value", "steps")


def _wrapped(text: str, title: str = "") -> str:
    indent = " " * 12 if title or text[:1].islower() else ""
    first = title.ljust(12) if indent else ""
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )


def catalogue() -> str:
    """Writes all cells by family as Markdown: the lists of docs/cells.md."""
    rows = [row for row in cell_rows() if not row["plugin"]]
    blocks = []
    for family, says in FAMILIES.items():
        members = [row for row in rows if row["family"] == family]
        table = [
            f"| `{r['cell']}` | {r['year']} | {r['parameters']} | {r['about']} | {_source(r)} |"
            for r in members
        ]
        head = "| cell | year | parameters | what is special | source |\n|---|---|---|---|---|"
        blocks.append("\n".join([f"### {family}", "", f"{says[0].upper()}{says[1:]}.", "", head]))
        blocks[-1] += "\n" + "\n".join(table)
    differing = [f"* `{row['cell']}`: {row['differs']}" for row in rows if row["differs"]]
    by_check = [
        f"* `{word}`: {says}: " + ", ".join(row["cell"] for row in rows if row["checked"] == word)
        for word, says in CHECKED.items()
        if any(row["checked"] == word for row in rows)
    ]
    blocks.append("\n".join(["### Where others differ", "", *differing]))
    blocks.append("\n".join(["### How the equations were checked", "", *by_check]))
    return "\n\n".join(blocks) + "\n"


def _source(row: dict[str, Any]) -> str:
    link = f" [arXiv](https://arxiv.org/abs/{row['arxiv']})" if row["arxiv"] else ""
    return str(row["source"]).replace(f", arXiv {row['arxiv']}", "") + link


def variant_rows() -> list[dict[str, Any]]:
    """Lists the variants of the papers and the sets of cells, with their specs."""
    rows = [{"name": name, "spec": spec} for name, spec in VARIANTS.items()]
    return rows + [{"name": name, "spec": ", ".join(specs)} for name, specs in CELL_SETS.items()]


def ablation_rows() -> list[dict[str, Any]]:
    """Describes every ablation."""
    return [
        {
            "ablation": name + ("=" + ":".join(row.arguments) if row.arguments else ""),
            "short": row.short,
            "what it does": row.says,
        }
        for name, row in ABLATIONS.items()
    ]


def parameter_formula(cell: Cell) -> str:
    """Counts the parameters of a layer by shape: `4HI + 4HH + 4H`; half a matrix is `HH/2`."""
    shapes = infer_shapes(cell)
    counts: dict[str, Fraction] = defaultdict(Fraction)
    for shape in (*shapes.matrices.values(), *map(axes, shapes.vectors.values())):
        bases, factors = zip(*map(parts, shape), strict=True)
        counts["".join(base for base in bases if base != ONE)] += math.prod(factors)
    order = sorted(counts, key=lambda s: (-len(s), s[::-1] != "IH", s))
    return " + ".join(_counted(counts[s], s) for s in order)


def _counted(count: Fraction, shape: str) -> str:
    above = str(count.numerator) if count.numerator > 1 or not shape else ""
    below = f"/{count.denominator}" if count.denominator > 1 else ""
    return above + shape + below
