"""docs/tasks.md names every generated task, with its lengths and what chance and optimum score."""

import re
from pathlib import Path

import pytest

from odyssey.tasks import get_task, list_tasks
from odyssey.tasks.generated import GeneratedTask
from odyssey.tasks.registry import describe_tasks
from odyssey.tasks.sets import TASK_SETS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text("utf-8")
ROWS = {
    row[0].strip("`"): row
    for row in (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in DOCUMENT.splitlines()
        if line.startswith("| `") and line.count("|") == 7
    )
}


def test_every_generated_task_has_a_row(corpora):
    generated = [name for name in list_tasks() if isinstance(get_task(name), GeneratedTask)]
    assert sorted(ROWS) == sorted(generated)


def score(baseline):
    return "-" if baseline is None else f"{baseline.nats:.3f} / {100 * baseline.accuracy:.1f} %"


@pytest.mark.parametrize("name", ROWS)
def test_the_row_says_what_the_task_says(name):
    task = get_task(name)
    *_, options, chance, optimum = ROWS[name]
    (row,) = (row for row in describe_tasks() if row["name"] == name)
    assert re.findall(r"`(.*?)`", options) == row["options"].split(",")
    assert (chance, optimum) == (score(task.chance), score(task.optimum))


def test_every_set_is_listed():
    for name, members in TASK_SETS.items():
        assert f"`{name}`: {', '.join(f'`{member}`' for member in members)}" in DOCUMENT.replace(
            "\n", " "
        )
