"""Tables into text: how each column is shown, for terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from odyssey.names import short_names
from odyssey.report.page.units import better_end, chance_of, slash
from odyssey.statistics.published import OURS_ON, PAPER_ON
from odyssey.statistics.ranking import RANK_ON
from odyssey.statistics.verdicts import DECIDED, EQUAL
from odyssey.storage.schema import METRIC

NO_VALUE = "-"


@dataclass(frozen=True)
class Column:
    """How a column of a leaderboard is shown.

    Attributes:
        header: What it says on top, with its unit.
        short: The same for a terminal, where bpc is bits per character.
        show: Writes one value; never called with a missing one.
        best: The better end: "low", "high" or "" when neither is better.
    """

    header: str
    short: str
    show: Callable[[float], str]
    best: str = ""


def _whole(value: float) -> str:
    return f"{int(value)}"


def _bits(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _count(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _rank(value: float) -> str:
    return f"{value:.1f}"


def _change(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"


def _relative(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def _score(value: float) -> str:
    return f"{round(value, 4) + 0.0:+.4f}"


def _share(value: float) -> str:
    return f"{value:.2f}"


def _accuracy(value: float) -> str:
    return f"{value:.4f}"


def _p_value(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


# What is shown, in this order; a frame may have more (its CSV has everything).
BOARD_COLUMNS: dict[str, Column] = {
    "rank": Column("#", "#", _whole),
    "label": Column("cell", "cell", str),
    "effect": Column("change", "change", str),
    "estimate": Column("effect", "effect", _change),
    "mean_rank": Column("mean rank over tasks", "mean\nrank", _rank, best="low"),
    "best_valid_bpc": Column("best valid bits/char", "best\nbpc", _bits, best="low"),
    "mean_valid_bpc": Column("mean valid bits/char", "mean\nbpc", _bits, best="low"),
    "half_width": Column("± 95 % bits/char", "±\n95 %", _bits),
    "test_bpc": Column("test bits/char", "test\nbpc", _bits, best="low"),
    "test_accuracy": Column("test accuracy %", "test\nacc%", _percent, best="high"),
    "test_exact": Column("test sequences right %", "exact\n%", _percent, best="high"),
    "shuffled_bpc": Column("with another's picture bits/char", "other\nbpc", _bits),
    "blank_bpc": Column("with the mean picture bits/char", "mean pic\nbpc", _bits),
    "median_parameters": Column("parameters", "para-\nmeters", _count),
    "draws": Column("draws", "draws", _whole),
    "finalists": Column("on the last rung", "last\nrung", _whole),
    "lost": Column("lost", "lost", _whole),
    "guessing": Column("counted as guessing", "at\nguessing", str),
    "search_score": Column("score", "score", _accuracy, best="high"),
    "top_score": Column("mean of the best draws", "best\ndraws", _bits),
    "difference": Column("difference", "differ-\nence", _change),
    "interval": Column("95 % interval", "95 %\ninterval", str),
    "share": Column("share of the whole %", "share\n%", _percent),
    "relative": Column("difference %", "%", _relative),
    "improvement": Column("chance to be better", "chance\nbetter", _share),
    "p_holm": Column("p (Holm)", "p\n(Holm)", _p_value),
    "verdict": Column("verdict", "verdict", str),
    "within": Column("with margin", "with\nmargin", str),
    "odyssey_p_bonferroni": Column("the Odyssey's p (Bonferroni)", "Odyssey's\np", _p_value),
    "odyssey_verdict": Column("the Odyssey's verdict", "Odyssey's\nverdict", str),
    "iqm": Column("interquartile mean score", "IQM\nscore", _score),
    "support": Column("verdicts on the tasks", "verdicts on\nthe tasks", str),
    "paper": Column("in the paper", "in the\npaper", str),
    "parameters": Column("parameters wanted", "para-\nmeters", _count),
    "num_layers": Column("layers", "layers", _whole),
    "ours": Column("ours, best draw", "ours,\nbest", _accuracy),
    "mean_best": Column("ours, mean of the best draws", "ours,\nmean", _accuracy),
    "published": Column("published", "published", _accuracy),
    "trust": Column("published number was", "number\nwas", str),
    "ok": Column("ok", "ok", _whole),
    "diverged": Column("diverged", "div.", _whole),
    "failed": Column("failed", "fail", _whole),
    "guessed": Column("counted as guessing", "at\nguessing", _whole),
}
# What a narrow terminal goes without, first things first.
_DISPENSABLE = (
    *("relative", "mean_best", "odyssey_p_bonferroni", "lost", "top_score", "improvement"),
    *(
        "blank_bpc",
        "shuffled_bpc",
        "median_parameters",
        "test_accuracy",
        "half_width",
        "failed",
        "guessed",
        "test_bpc",
    ),
)
_VERDICTS = ("verdict", "within", "odyssey_verdict")
# What names the cell or the change of a row, and is as long as that is.
_FOLDED = ("label", "effect")
_LEFT = (
    "label",
    "effect",
    "paper",
    "guessing",
    "verdict",
    "within",
    "odyssey_verdict",
    "trust",
    "support",
)  # columns of words


def comparison_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """Makes what `comparison.compare` gives fit to print: intervals and guesses in words."""
    words = guessing_words(comparison)
    ends = intervals(comparison["low"], comparison["high"], _change)
    # The printed column says what the CSV has in three.
    shown = comparison.drop(columns="guessed").assign(interval=ends)
    return shown.assign(guessing=words.mask(words == "")) if (words != "").any() else shown


def guessing_words(comparison: pd.DataFrame) -> pd.Series[str]:
    """Says of rows of `comparison.compare` what is no measurement but counts as guessing.

    A draw that was lost, or is worse than guessing, counts as guessing: a mean over best draws that
    holds such is marked, whether they are the cell's or the baseline's. "" where there are none.
    """
    words = []
    for row in comparison.to_dict("records"):
        top = int(row["top"])
        of = {"": row["top_guessed"], "baseline ": row["baseline_guessed"]}
        if row["baseline"]:
            of.pop("baseline ")
        words.append(", ".join(f"{who}{int(n)} of {top}" for who, n in of.items() if n > 0))
    return pd.Series(words, index=comparison.index, dtype="string")


def aggregate_table(aggregate: pd.DataFrame, comparison: pd.DataFrame) -> pd.DataFrame:
    """Makes what `aggregate.aggregate_scores` gives fit to print, the best cell first.

    A mean over tasks is no test: beside it stand the verdicts of `comparison.compare` on the tasks,
    and nothing is in bold.
    """
    shown = aggregate.assign(interval=intervals(aggregate["low"], aggregate["high"], _score))
    verdicts = comparison[~comparison["baseline"]].groupby("label", sort=False)["verdict"]
    support = verdicts.agg(lambda v: ", ".join(f"{n} {w}" for w, n in v.value_counts().items()))
    shown = shown.drop(columns="difference").assign(support=shown["label"].map(support))
    shown = shown.sort_values("iqm", ascending=False, kind="stable")
    return shown.reset_index(drop=True)


def intervals(
    low: pd.Series[float], high: pd.Series[float], show: Callable[[float], str] = _change
) -> pd.Series[Any]:
    """Writes intervals; one without ends stays missing."""

    def end(value: float) -> str:
        return show(value) if np.isfinite(value) else "-∞" if value < 0 else "∞"

    ends = zip(low, high, strict=True)
    texts = [pd.NA if pd.isna(a) else f"{end(a)} to {end(b)}" for a, b in ends]
    return pd.Series(texts, index=low.index, dtype="string")


def to_csv(frame: pd.DataFrame) -> str:
    """Writes every column in full precision."""
    return frame.to_csv(index=False, lineterminator="\n")


def _metric_columns(frame: pd.DataFrame) -> dict[str, Column]:
    """Gives the columns of metrics; what a guess scores stands on top where one task is shown."""
    tasks = list(frame["task"].unique()) if "task" in frame else []
    columns = {}
    for column in (str(n) for n in frame if str(n).startswith(METRIC)):
        name = column.removeprefix(METRIC)
        chance = chance_of(name, str(tasks[0])) if len(tasks) == 1 else None
        guess = "" if chance is None else f" (chance {chance:.3g})"
        columns[column] = Column(
            name + guess, f"{name}\n{guess}".strip(), _accuracy, best=better_end(name)
        )
    return columns


def shown_columns(frame: pd.DataFrame) -> dict[str, Column]:
    """Gives the columns of a leaderboard or an overall table that people see."""
    columns: dict[str, Column] = {}
    for name, column in BOARD_COLUMNS.items():
        if name in frame:
            columns[name] = column
        if name == "mean_rank":
            # Ranks on the single tasks stand next to their mean.
            for rank in (str(n) for n in frame if str(n).startswith(RANK_ON)):
                columns[rank] = Column(rank, rank.replace(RANK_ON, "rank on\n"), _whole)
        if name == "paper":
            for prefix in (OURS_ON, PAPER_ON):
                for beside in (str(n) for n in frame if str(n).startswith(prefix)):
                    short = beside.replace(" on ", " on\n").replace("@", "\n@")
                    columns[beside] = Column(beside, short, str)
        if name == "test_exact":
            columns |= _metric_columns(frame)
    unit = slash()
    few = "bpc" if unit == "bits/char" else unit
    return {
        name: replace(
            column,
            header=column.header.replace("bits/char", unit),
            short=column.short.replace("bpc", few),
        )
        for name, column in columns.items()
    }


def shown_cells(frame: pd.DataFrame) -> list[list[tuple[str, bool]]]:
    """Writes the cells of a table: its text and whether it is in bold.

    In bold is the best of a column that has a better end, and a verdict that claims a difference.
    """
    columns = shown_columns(frame)
    texts = {
        name: [NO_VALUE if pd.isna(value) else column.show(value) for value in frame[name]]
        for name, column in columns.items()
    }
    winners = {}
    for name, column in columns.items():
        values = frame[name].dropna().tolist() if column.best else []
        extreme = (min if column.best == "low" else max)(values) if values else None
        # Ties as far as a reader can see them are ties.
        winners[name] = None if extreme is None else column.show(extreme)

    def strong(name: str, text: str) -> bool:
        return text in (*DECIDED, EQUAL) if name in _VERDICTS else text == winners[name]

    return [
        [(texts[name][row], strong(name, texts[name][row])) for name in columns]
        for row in range(len(frame))
    ]


def without_base(labels: pd.Series[str]) -> pd.Series[str]:
    """Leaves the base out of specs (`lstm:no_gate`) where all that have one share it."""
    bases = {label.partition(":")[0] for label in labels if ":" in label}
    if len(bases) != 1:
        return labels
    return labels.map(lambda label: label.partition(":")[2] or label)


def by_task(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Splits a leaderboard into one a task; another table stays whole, under an empty name."""
    if "task" not in frame:
        return [("", frame)]
    names = short_names(frame["task"].unique())
    return [(names[str(task)], part) for task, part in frame.groupby("task", sort=False)]


def to_markdown(frame: pd.DataFrame) -> str:
    """Writes a table as Markdown, one with a heading per task, the best in bold."""
    parts = []
    for task, part in by_task(frame):
        columns = shown_columns(part)
        head = [column.header for column in columns.values()]
        align = [":---" if is_words(name) else "---:" for name in columns]
        lines = [f"### {_escape(task)}", ""] if task else []
        lines += [f"| {' | '.join(map(_escape, head))} |", f"| {' | '.join(align)} |"]
        for cells in shown_cells(part):
            texts = (f"**{_escape(t)}**" if best else _escape(t) for t, best in cells)
            lines.append(f"| {' | '.join(texts)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


# What a table that fits into a column of text has, of what there is.
_COMPACT = (
    *("label", "best_valid_bpc", "test_bpc", "test_accuracy", "median_parameters"),
    *("difference", "interval", "verdict", "search_score"),
)


def compact(frame: pd.DataFrame) -> pd.DataFrame:
    """Leaves what fits into a column of text, specs without the base that all share."""
    chosen = [name for name in ("task", *_COMPACT) if name in frame]
    return frame[chosen].assign(label=without_base(frame["label"]))


def to_latex_table(frame: pd.DataFrame, *, caption: str, label: str, narrow: bool = False) -> str:
    """Writes a table as a LaTeX float for the booktabs package, tasks below each other.

    Args:
        frame: Any table of this module.
        caption: Its caption, as plain text: LaTeX's own characters are escaped.
        label: What \\ref refers to, as plain text.
        narrow: Whether letters are small and headers short, as for a column of text.
    """
    columns = shown_columns(frame)
    align = "".join("l" if is_words(name) else "r" for name in columns)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}"]
    lines += [r"\small", r"\setlength{\tabcolsep}{4pt}"] if narrow else []
    lines += [rf"\label{{{label}}}", rf"\begin{{tabular}}{{{align}}}", r"\toprule"]
    heads = (
        c.short.replace("-\n", "").replace("\n", " ") if narrow else c.header
        for c in columns.values()
    )
    lines += [" & ".join(map(_latex, heads)) + r" \\"]
    for task, part in by_task(frame):
        lines.append(r"\midrule")
        if task:
            lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{{_latex(task)}}}}} \\")
        for cells in shown_cells(part):
            texts = (rf"\textbf{{{_latex(t)}}}" if best else _latex(t) for t, best in cells)
            lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def print_table(frame: pd.DataFrame, console: Console) -> None:
    """Prints a table, one per task, no wider than 100 columns; plain when not on a terminal.

    What does not fit goes without columns that it can spare, and then without the base that all
    specs of ablations share.
    """
    # A pipe has no width of its own: rich assumes 80, and would fold what fits into 100.
    room = min(console.width, 100) if console.is_terminal else 100
    for task, part in by_task(frame):
        kept = list(shown_columns(part))
        for name in (None, *_DISPENSABLE):
            kept = [k for k in kept if k != name]
            table = _rich_table(part[kept], title=task)
            wanted = Measurement.get(console, console.options.update(max_width=1000), table)
            if wanted.maximum <= room:
                break
        else:
            short = part[kept]
            if "label" in part:
                short = short.assign(label=without_base(part["label"]))
            table = _rich_table(short, title=task)
            wanted = Measurement.get(console, console.options.update(max_width=1000), table)
        table.width = min(wanted.maximum, room)
        console.print(table, crop=False)
        console.print()


def _rich_table(frame: pd.DataFrame, *, title: str) -> Table:
    table = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0, 0, 1),
    )
    for name, column in shown_columns(frame).items():
        table.add_column(
            Text(column.short),
            justify="left" if is_words(name) else "right",
            vertical="bottom",
            overflow="fold",
            no_wrap=name not in _FOLDED,
        )
    for cells in shown_cells(frame):
        table.add_row(*(Text(text, style="bold" if best else "") for text, best in cells))
    return table


def is_words(name: str) -> bool:
    """Tells whether a column holds words, which stand to the left."""
    return name in _LEFT or name.startswith((OURS_ON, PAPER_ON))


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "²": "$^2$",
}


def _latex(text: str) -> str:
    minus = re.sub(r"(?<![\w.])-(?=\d|∞)", "−", text)  # a minus, and no hyphen
    return "".join(_LATEX.get(c, "$-$" if c == "−" else c) for c in minus)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
