"""The page of a search, and all files of its report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odyssey.errors import StoreError
from odyssey.report.page.entries import equations_html
from odyssey.report.page.html import frame_html, plain_table, time_span
from odyssey.report.page.shell import render
from odyssey.report.search.content import SearchContent, format_score, layer_parameters
from odyssey.statistics.search import Audit
from odyssey.statistics.superiority import Chance
from odyssey.storage.schema import FINISHED, RANDOM_ARM, SEED_ARM, UNMEASURED

_WARNING = (
    "These are candidates, not results: the best of many noisy scores is too good by selection. "
    "Train them again with fresh seeds, on tasks that the search did not see, beside the baselines."
)


def write_search(content: SearchContent, *, to: Path | None = None) -> dict[str, Path]:
    """Writes the whole report of a search into the directory of its run, or into another one.

    Args:
        content: What it says.
        to: The other directory, which is made.

    Returns:
        Paths by name: report, best_csv, operators_csv, refused_csv, arms_csv,
        noise_csv, figures (a folder).

    Raises:
        StoreError: The directory cannot be written.
    """
    directory = to or content.directory
    paths = {"report": directory / "report.html", "figures": directory / "figures"}
    frames = {
        "best": best_table(content),
        "operators": content.operators,
        "refused": content.refused,
        "arms": content.arms,
        "noise": content.noise,
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            paths[f"{name}_csv"] = directory / f"{name}.csv"
            frame.to_csv(paths[f"{name}_csv"], index=False, lineterminator="\n")
        for picture in content.pictures:
            picture.save(paths["figures"])
        paths["report"].write_text(_page(content), encoding="utf-8")
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the report to {directory}: {why}") from error
    return paths


def best_table(content: SearchContent) -> pd.DataFrame:
    """Lists the best cells, a row each."""
    columns = ["number", "name", "arm", "score", "parameters", "members", "nearest", "made", "key"]
    rows = [{c: getattr(cell, c) for c in columns} for cell in content.best]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(made=[" > ".join(cell.made) for cell in content.best])


def best_html(content: SearchContent) -> Markup:
    """Makes a table of the best cells, a row each with its equations."""
    counted = layer_parameters(content.run)
    heads = [("cell", False), ("score", True), (counted, True), ("nearest", False)]
    rows = [
        [c.name, format_score(c.score), f"{c.parameters:,.0f}", c.nearest, equations_html(c.text)]
        for c in content.best
    ]
    return plain_table([*heads, ("equations", False)], rows)


def print_search(content: SearchContent, console: Console) -> None:
    """Prints the best, the seeds, what chance found, and the warning that goes with it."""
    done = len(content.candidates)
    total = int(content.run["candidates"]) + len(content.run["cells"])
    console.print(f"{done:,} of {total:,} candidates told; {verdict(content)}", highlight=False)
    if unmeasured := int((content.candidates["status"] == UNMEASURED).sum()):
        text = f"not measured, for a trial was stopped at its limit: {unmeasured:,} candidates"
        console.print(text, highlight=False)
    table = Table(title="best cells", title_justify="left", box=None, pad_edge=False)
    for name in ("cell", "arm", "nearest"):
        table.add_column(name)
    for name in ("score", layer_parameters(content.run), "draws"):
        table.add_column(name, justify="right")
    rows: list[tuple[float, list[str]]] = [
        (
            c.score,
            [
                c.name,
                c.arm,
                c.nearest,
                format_score(c.score),
                f"{c.parameters:,.0f}",
                str(c.members),
            ],
        )
        for c in content.best
    ]
    seeds = content.candidates[content.candidates["arm"] == SEED_ARM]
    for row in seeds.to_dict("records"):
        score = float(row["score"])
        last = [format_score(score), f"{row['parameters']:,.0f}", str(row["members"])]
        rows.append((score, [str(row["name"]), SEED_ARM, str(row["name"]), *last]))
    for _, cells in sorted(rows, key=lambda r: -r[0] if r[0] == r[0] else float("inf")):
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    console.print(_WARNING, highlight=False)


def verdict(content: SearchContent) -> str:
    """Says in a line how the strategy did beside random search."""
    if content.duel is None:
        if content.run["strategy"] == RANDOM_ARM:
            return "random search, with nothing to compare it with"
        return "no random arm: nothing says whether this is better than chance"
    d = content.duel
    return (
        f"{content.run['strategy']} is {d.verdict} at {d.characters:,.0f} characters "
        f"(best {d.best:.4f}; random {d.low:.4f} to {d.high:.4f}); at {d.final_characters:,.0f} "
        f"its best is {d.final_best:.4f} and that of the one random arm {d.final_random:.4f}; one "
        f"of its new cells beats one of the random arm with chance {_chance(d.superiority)}"
    )


def _chance(chance: Chance) -> str:
    """Writes a chance with its interval, where there is one."""
    ends = "" if math.isnan(chance.low) else f" (95 %: {chance.low:.3f} to {chance.high:.3f})"
    return f"{chance.estimate:.3f}{ends}"


def _page(content: SearchContent) -> str:
    run = content.run
    return render(
        "search/search.html",
        title=str(run["study"]),
        description=str(run.get("description") or ""),
        facts=_facts(content),
        verdict=verdict(content),
        warning=_WARNING,
        pictures=content.pictures,
        best=[
            {
                "cell": cell,
                "equations": equations_html(cell.text),
                "score": format_score(cell.score),
                "parameters": f"{cell.parameters:,.0f} {layer_parameters(run)}",
            }
            for cell in content.best
        ],
        stages=frame_html(_stages(run), _cell),
        arms=frame_html(content.arms, _cell),
        refused=frame_html(content.refused, _cell),
        operators=frame_html(content.operators, _cell),
        audits=[_audit(a) for a in content.audits],
        noise=frame_html(_noise_table(content.noise), _cell) if len(content.noise) else None,
        seeds=frame_html(_seed_table(content), _cell),
        origin=[(n, str(run[n])) for n in ("seed", "versions", "commit", "created") if run.get(n)],
        study_text=content.study_text,
        run_json=json.dumps(dict(run), indent=2, ensure_ascii=False),
    )


def _facts(content: SearchContent) -> list[tuple[str, str]]:
    run, candidates = content.run, content.candidates
    total = int(run["candidates"]) + len(run["cells"])
    done = int((candidates["status"] == FINISHED).sum())
    facts = [
        ("strategy", str(run["strategy"])),
        ("candidates told", f"{len(candidates):,} of {total:,}"),
        ("passed all stages", f"{done:,}"),
        ("refused before training", f"{int(content.refused['total'].sum()):,}"),
        ("draws trained", f"{int(candidates['members'].sum()):,}"),
        ("score", f"{run['measure']} relative to {run['baseline']}, least over tasks"),
    ]
    if unmeasured := int((candidates["status"] == UNMEASURED).sum()):
        facts.append(("not measured, for a time limit", f"{unmeasured:,}"))
    if run.get("seconds"):
        facts.append(("wall time", time_span(float(run["seconds"]))))
    return facts


def _stages(run: Any) -> pd.DataFrame:
    rows = []
    for stage in run["stages"]:
        rules = [f"{n} {stage[n]:g}" for n in ("at_least", "gate", "keep") if n in stage]
        rows.append(
            {
                "stage": stage["name"],
                "tasks": ", ".join(stage["tasks"]),
                "draws": stage["draws"],
                "updates": f"{stage['passes']} passes"
                if stage.get("passes")
                else stage["epochs"] * stage["updates_per_epoch"],
                "goes on": ", ".join(rules) or "always",
            }
        )
    return pd.DataFrame(rows)


def _noise_table(noise: pd.DataFrame) -> pd.DataFrame:
    """Lists stages with the noise of their scores, estimates with their intervals."""

    def between(name: str, digits: int) -> list[str]:
        rows = noise[[name, f"{name}_low", f"{name}_high"]].to_numpy(float)
        texts = ([f"{value:.{digits}f}" for value in row] for row in rows)
        return [
            "-" if math.isnan(row[0]) else f"{middle} ({low} to {high})"
            for row, (middle, low, high) in zip(rows, texts, strict=True)
        ]

    return pd.DataFrame(
        {
            "stage": noise["stage"],
            "new cells": noise["cells"],
            "their spread": ["-" if math.isnan(s) else f"{s:.4f}" for s in noise["spread"]],
            "measured again": noise["again"],
            "measurements": noise["measurements"],
            "noise": between("noise", 4),
            "reliability": between("reliability", 2),
        }
    )


def _seed_table(content: SearchContent) -> pd.DataFrame:
    seeds = content.candidates[content.candidates["arm"] == SEED_ARM]
    return seeds[["name", "score", "parameters", "cost", "members"]]


def _audit(audit: Audit) -> str:
    if not audit.stopped:
        return f"Stage {audit.stage} stopped no candidate."
    start = f"Stage {audit.stage} stopped {audit.stopped:,} candidates"
    if not audit.audited:
        return f"{start}; none of them was measured on, so nothing says what that lost."
    tau = (
        ""
        if audit.tau != audit.tau
        else (
            f" Rank correlation of its score with the final one: {audit.tau:.2f} (Kendall's tau, "
            f"over {audit.pairs} candidates that went on or were audited)."
        )
    )
    return (
        f"{start}. Of {audit.audited} that were measured to the end all the same, "
        f"{audit.would_be_top} reached the final score of the ten best: a share of "
        f"{audit.low:.0%} to {audit.high:.0%} (exact 95 % interval).{tau}"
    )


def _cell(value: Any) -> str:
    if value is None or pd.isna(value):
        return "-"
    if isinstance(value, float) and value % 1:
        return f"{value:.3f}"
    return value if isinstance(value, str) else f"{value:,.0f}"
