"""All files of a report: the page, the leaderboard as CSV and Markdown, the figures with data."""

from __future__ import annotations

from pathlib import Path

from odyssey.errors import StoreError
from odyssey.report import style, tables
from odyssey.report.html import Content, read_content, write_page


def write_all(run_dir: str | Path) -> dict[str, Path]:
    """Writes the whole report of a run into its directory.

    Returns:
        Paths by name: report, leaderboard_csv, leaderboard_md, and figures (their folder); of a
        study with a baseline also comparison_csv, comparison_md and comparison_tex.

    Raises:
        StoreError: The directory is not a run, has no finished trial, or cannot be written.
    """
    content = read_content(run_dir)
    directory = Path(run_dir)
    paths = {
        "report": directory / "report.html",
        "leaderboard_csv": directory / "leaderboard.csv",
        "leaderboard_md": directory / "leaderboard.md",
        "figures": directory / "figures",
    }
    try:
        paths["leaderboard_csv"].write_text(tables.to_csv(content.board), encoding="utf-8")
        text = tables.to_markdown(content.board)
        if content.overall is not None:
            text += "\n### overall\n\n" + tables.to_markdown(content.overall)
        paths["leaderboard_md"].write_text(text, encoding="utf-8")
        paths |= _write_ablation(content, directory)
        drawn = (*content.pictures, *(content.ablation.pictures if content.ablation else ()))
        for picture in drawn:
            style.save_figure(picture.figure, paths["figures"] / picture.name, data=picture.data)
        write_page(content, paths["report"])
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the report to {directory}: {why}") from error
    return paths


def _write_ablation(content: Content, directory: Path) -> dict[str, Path]:
    """Writes the comparison with the baseline, if there is one."""
    found = content.ablation
    if found is None:
        return {}
    paths = {kind: directory / f"comparison.{kind}" for kind in ("csv", "md", "tex")}
    table = tables.comparison_table(found.compared)
    text = f"{tables.to_markdown(table)}\n{found.caption}\n"
    if found.scores is not None:
        text += (
            f"\n### over all tasks\n\n{tables.to_markdown(tables.aggregate_table(found.scores))}"
        )
    label = f"tab:{content.directory.resolve().name}"
    paths["csv"].write_text(tables.to_csv(found.compared), encoding="utf-8")
    paths["md"].write_text(text, encoding="utf-8")
    latex = tables.to_latex(table, caption=found.caption, label=label)
    paths["tex"].write_text(latex, encoding="utf-8")
    return {f"comparison_{kind}": path for kind, path in paths.items()}
