"""All files of a report: the page, the leaderboard as CSV and Markdown, the figures with data."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from odyssey.errors import StoreError
from odyssey.names import file_name
from odyssey.report.page import tables
from odyssey.report.study.baseline import BaselineComparison
from odyssey.report.study.factorial import FACTORIAL_CAPTION, effects_table
from odyssey.report.study.pace import Heard, ignore
from odyssey.report.study.page import Content, write_study_page
from odyssey.report.study.steps import STEPS_CAPTION, steps_table
from odyssey.storage.floors import FLOORS_FILE


def write_content(
    content: Content, *, to: Path | None = None, heard: Heard = ignore
) -> dict[str, Path]:
    """Writes a report into the directory of its run, or into another one.

    Args:
        content: What it says.
        to: The other directory, which is made.
        heard: Hears of every figure that is written.

    Returns:
        Paths by name: report, leaderboard_csv, leaderboard_md, and figures (their folder); of a
        study with a baseline also comparison_csv, comparison_md and comparison_tex, and of every
        further one comparison-NAME_csv and so on; for every published table that speaks of its
        cells NAME_csv, NAME_md and NAME_tex; floors_csv where the floors of tasks are known,
        settling_csv and studentised_csv beside a comparison, pareto_csv, transfer_csv of several
        tasks, components_csv of repeated seeds.

    Raises:
        StoreError: The directory cannot be written.
    """
    directory = to or content.directory
    paths = {
        "report": directory / "report.html",
        "leaderboard_csv": directory / "leaderboard.csv",
        "leaderboard_md": directory / "leaderboard.md",
        "figures": directory / "figures",
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        paths["leaderboard_csv"].write_text(tables.to_csv(content.board), encoding="utf-8")
        text = tables.to_markdown(content.board)
        if content.overall is not None:
            text += "\n### overall\n\n" + tables.to_markdown(content.overall)
        paths["leaderboard_md"].write_text(text, encoding="utf-8")
        if content.ablation is not None:
            paths |= _write_ablation(content.ablation, directory / "comparison")
        if content.steps is not None:
            paths |= _write_table(
                steps_table(content.steps),
                directory / "steps",
                caption=STEPS_CAPTION,
                data=content.steps,
            )
        if content.factorial is not None:
            paths |= _write_table(
                effects_table(content.factorial.effects),
                directory / "factorial",
                caption=FACTORIAL_CAPTION,
                data=content.factorial.effects,
            )
            for picture in content.factorial.pictures:
                picture.save(paths["figures"])
        for found in content.further:
            name = f"comparison-{file_name(found.baseline)}"
            paths |= _write_ablation(found, directory / name)
        if len(content.floors):
            paths["floors_csv"] = directory / FLOORS_FILE
            paths["floors_csv"].write_text(tables.to_csv(content.floors), encoding="utf-8")
        for name, frame in _further(content).items():
            if frame is not None and len(frame):
                paths[f"{name}_csv"] = directory / f"{name}.csv"
                paths[f"{name}_csv"].write_text(tables.to_csv(frame), encoding="utf-8")
        for shown in content.beside:
            paths |= _write_table(shown.table, directory / shown.name, caption=shown.caption)
        drawn = (*content.pictures, *(content.ablation.pictures if content.ablation else ()))
        for picture in drawn:
            picture.save(paths["figures"])
            heard(picture)
        write_study_page(content, paths["report"])
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the report to {directory}: {why}") from error
    return paths


def _further(content: Content) -> dict[str, pd.DataFrame | None]:
    """Gives the tables that are written as CSV alone, by name."""
    found: dict[str, pd.DataFrame | None] = {}
    found |= {"transfer": content.transfer, "components": content.components}
    found["pareto"] = content.pareto
    if content.ablation is not None:
        found |= {
            "settling": content.ablation.settling,
            "studentised": content.ablation.studentised,
        }
    return found


def _write_ablation(found: BaselineComparison, path: Path) -> dict[str, Path]:
    """Writes the comparison with a baseline."""
    more = ""
    if found.scores is not None:
        scores = tables.to_markdown(tables.aggregate_table(found.scores, found.compared))
        more = f"\n### over all tasks\n\n{scores}"
    return _write_table(
        tables.comparison_table(found.compared),
        path,
        caption=found.caption,
        data=found.compared,
        more=more,
    )


def _write_table(
    table: pd.DataFrame,
    path: Path,
    *,
    caption: str,
    data: pd.DataFrame | None = None,
    more: str = "",
) -> dict[str, Path]:
    """Writes a table as CSV, Markdown and LaTeX, and gives the paths by name and kind.

    Args:
        table: As people see it.
        path: Where, without a suffix.
        caption: Below it in Markdown, above it in LaTeX.
        data: What the CSV holds, when that is more than the table.
        more: Markdown below the caption.
    """
    label = f"tab:{path.parent.resolve().name}-{path.name}"
    texts = {
        "csv": tables.to_csv(table if data is None else data),
        "md": f"{tables.to_markdown(table)}\n{caption}\n{more}",
        "tex": tables.to_latex_table(table, caption=caption, label=label),
    }
    paths = {}
    for kind, text in texts.items():
        paths[f"{path.name}_{kind}"] = path.with_name(f"{path.name}.{kind}")
        paths[f"{path.name}_{kind}"].write_text(text, encoding="utf-8")
    return paths
