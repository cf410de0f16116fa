"""Dates: every spelling read again by a parser of its own."""

import calendar
import datetime
import re
from collections import Counter

import numpy as np
import pytest

from odyssey.tasks import get_task
from odyssey.tasks.dates import READ, SPELLINGS, WRITTEN, spell

SPLITS = ("train", "valid", "test")


def drawn(split, count=3000, seed=0):
    """Gives question, answer and the counted targets of each sequence."""
    for example in get_task("dates").draw(np.random.default_rng(seed), count, split):
        text = "".join(READ[k] for k in example.inputs_T)
        counted = "".join(WRITTEN[k] for k in example.targets_T[example.weights_T])
        question, mark, shown = text.partition(">")
        assert mark
        assert shown == counted[:-1]  # what was to be predicted is read next
        assert example.weights_T.tolist() == [k >= len(question) for k in range(len(text))]
        yield question, counted


def parse(text):
    """Reads a date by what it looks like."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    names = [w for w in re.findall(r"[A-Za-z]+", text) if not w.endswith("day")]
    known = {name[:3]: k for k, name in enumerate(calendar.month_name) if name}
    months = [known[w[:3]] for w in names if w[:3] in known]
    if months:
        (month,) = months
        day, year = numbers
    elif "." in text:
        day, month, year = numbers
    elif len(text.split("/")[0]) == 4:
        year, month, day = numbers
    else:
        month, day, year = numbers
    if year < 100:
        year += 2000 if year < 50 else 1900
    return datetime.date(year, month, day)


@pytest.mark.parametrize("split", SPLITS)
def test_the_answer_is_the_date_that_a_parser_reads(split):
    weekdays = 0
    for question, answer in drawn(split):
        date = parse(question)
        assert answer == f"{date.year:04}-{date.month:02}-{date.day:02}"
        weekday = re.match(r"(\w+day),", question)
        weekdays += bool(weekday)
        assert not weekday or weekday[1] == calendar.day_name[date.weekday()]
        for day, end in re.findall(r"(\d+)(st|nd|rd|th)", question):
            assert end == {"1": "st", "2": "nd", "3": "rd", "21": "st", "22": "nd"}.get(
                day, {"23": "rd", "31": "st"}.get(day, "th")
            )
    assert weekdays > 200


def test_spellings_are_unlike_and_all_are_drawn():
    date = datetime.date(1998, 3, 12)
    texts = [spell(date, spelling) for spelling in SPELLINGS]
    assert texts[:3] == ["12th of March 1998", "March 12, 1998", "Thursday, 12 March 1998"]
    assert texts[3:6] == ["Mar 12th, 1998", "12 Mar '98", "12.3.98"]
    assert texts[6:] == ["12.3.1998", "3/12/98", "1998/3/12"]
    shapes = Counter(
        re.sub("[A-Za-z]+", "a", re.sub(r"\d{1,2}", "#", re.sub(r"\d{4}", "%", question)))
        for question, _ in drawn("train")
    )
    assert len(shapes) == len(SPELLINGS)
    assert min(shapes.values()) > 200


def test_no_date_is_in_two_splits():
    days = {split: {answer for _, answer in drawn(split, 20_000)} for split in SPLITS}
    assert not days["train"] & (days["valid"] | days["test"])
    assert not days["valid"] & days["test"]
    assert all(len(days[split]) > 3000 for split in SPLITS)
    assert {answer[:2] for answer in days["train"]} == {"19", "20"}


@pytest.mark.parametrize("spellings", [1, 2, 5, 9])
def test_the_first_spellings_are_drawn_and_none_is_longer_than_said(spellings):
    task = get_task(f"dates@spellings={spellings}")
    examples = task.draw(np.random.default_rng(0), 30_000, "train")
    assert max(map(len, examples)) == task.steps
    assert any(READ.index(".") in e.inputs_T for e in examples) == (spellings > 5)


def test_chance_is_what_is_counted():
    task = get_task("dates")
    count = Counter("".join(answer for _, answer in drawn("train", 20_000)))
    share = np.array(list(count.values())) / count.total()
    assert -(share * np.log(share)).sum() == pytest.approx(task.chance.nats, abs=0.005)
    assert task.chance.accuracy == pytest.approx(0.2)  # two dashes of ten characters
    assert task.optimum.accuracy == 1
    assert task.exact
    assert task.longer is None


def test_sequences_spell_what_dates_are():
    """Sequences are put together out of pieces, without `spell`."""
    days = (datetime.date(1950, 1, 1) + datetime.timedelta(n) for n in range(36_525))
    known = {spell(day, s): day.isoformat() for day in days for s in SPELLINGS}
    seen = Counter()
    for split in SPLITS:
        for question, answer in drawn(split):
            assert known[question] == answer
            seen[len(question)] += 1
    assert len(seen) > 15
