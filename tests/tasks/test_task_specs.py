"""Specs: the grammar, the normalised name, the errors."""

import pytest

from odyssey.errors import TaskError
from odyssey.tasks import get_task, list_tasks
from odyssey.tasks.registry import describe_tasks
from odyssey.tasks.sets import TASK_SETS, expand_tasks


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("arithmetic", "arithmetic"),
        ("arithmetic@digits=8", "arithmetic"),
        ("arithmetic@digits=04", "arithmetic@digits=4"),
        ("arithmetic@distractors=0.30,digits=4", "arithmetic@digits=4,distractors=0.3"),
        ("arithmetic@ digits = 4 , distractors = 0.3", "arithmetic@digits=4,distractors=0.3"),
        ("arithmetic@distractors=-0", "arithmetic@distractors=0.0"),
        ("memorization@symbols=10", "memorization@symbols=10"),
        ("xml@max_steps=50", "xml"),
        ("python-source@bytes=4000,split=80/10.0/10", "python-source@bytes=4000,split=80/10/10"),
        ("warpeace@split=80/10/10", "warpeace"),
        ("warpeace@split=90/5/5", "warpeace@split=90/5/5"),
        ("warpeace@split=95/5/0", "warpeace@split=95/5/0"),
        ("warpeace@split=800/100/200", "warpeace@split=728/91/182"),
        ("warpeace@split=9000/500/500", "warpeace@split=90/5/5"),
        ("warpeace@split=4001/500/500", "warpeace@split=4001/500/500"),
        ("tinyshakespeare@words=10000,unit=words", "tinyshakespeare@unit=words"),
        ("stacks@split=95/5/0", "stacks@split=95/5/0"),
        ("tinyshakespeare@unit=characters", "tinyshakespeare"),
        ("warpeace@unit=bytes", "warpeace"),
        ("tinyshakespeare@encoding=ISO8859-1", "tinyshakespeare@encoding=latin-1"),
    ],
)
def test_names_are_normalised(corpora, spec, name):
    assert get_task(spec).name == name


@pytest.mark.parametrize(
    ("file", "options", "name"),
    [
        ("book.txt", "", "text:book.txt"),
        ("book.txt", "@unit=auto", "text:book.txt"),
        ("book.txt", "@unit=bytes", "text:book.txt@unit=bytes"),
        ("a@b=c", "@unit=auto", "text:a@b=c@unit=auto"),
        ("book.txt", "@split=80/10/10", "text:book.txt@split=80/10/10"),
        ("a@b.txt", "", "text:a@b.txt"),
        ("a@b.txt", "@unit=characters", "text:a@b.txt@unit=characters"),
        ("a@b=c", "@unit=bytes", "text:a@b=c@unit=bytes"),
        ("a b,c=d", "", "text:a b,c=d"),
    ],
)
def test_paths_may_hold_an_at_sign(tmp_path, monkeypatch, file, options, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_bytes(b"abc" * 100)
    task = get_task(f"text:{file}{options}")
    assert task.name == name
    assert task.describe()["path"] == file
    assert get_task(name).name == name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("artihmetic", "no task called 'artihmetic'; closest: arithmetic"),
        ("", "no task called ''"),
        ("book.txt", "for a file write text:book.txt"),
        ("text:", "names no file"),
        ("text:@unit=bytes", "names no file"),
        ("arithmetic@", "is no key=value; options: digits=8, distractors=0.48"),
        ("arithmetic@digits", "is no key=value"),
        ("arithmetic@digits=4,", "is no key=value"),
        ("arithmetic@digit=4", "no option of arithmetic called 'digit'; closest: digits"),
        ("arithmetic@digits=4,digits=5", "given twice"),
        ("arithmetic@digits=0", "expected a whole number from 1 to 18"),
        ("arithmetic@digits=19", "expected a whole number from 1 to 18"),
        ("arithmetic@digits=-1", "expected a whole number"),
        ("arithmetic@digits=2.0", "expected a whole number"),
        ("arithmetic@digits=٣", "expected a whole number"),
        ("arithmetic@digits=" + "9" * 5000, "expected a whole number"),
        ("arithmetic@distractors=nan", "expected a number from 0 to 0.95"),
        ("arithmetic@distractors=1", "expected a number from 0 to 0.95"),
        ("arithmetic@distractors=-0.1", "expected a number"),
        ("arithmetic@distractors=inf", "expected a number"),
        ("memorization@symbols=1", "from 2 to 62"),
        ("memorization@length=0", "from 1 to 1000"),
        ("xml@max_steps=0", "from 1 to 1000"),
        ("python-source@unit=bytes", "no option of python-source called 'unit'"),
        ("python-source@bytes=5", "expected a whole number from 100"),
        ("warpeace@unit=lines", "expected auto or characters or bytes or words"),
        ("warpeace@split=90/0/10", "expected the percentages"),
        ("warpeace@split=90/10", "expected the percentages"),
        ("warpeace@split=1000/0/10", "expected the percentages"),
        ("warpeace@split=900/50/49", "expected the percentages"),
        ("warpeace@split=900.5/50/50", "expected the percentages"),
        ("warpeace@words=50", "are about words; add unit=words"),
        ("warpeace@unit=words,words=1", "expected a whole number from 2"),
        ("warpeace@split=90/5/6", "expected the percentages"),
        ("warpeace@split=nan/5/5", "expected the percentages"),
        ("warpeace@split=100/0/0", "expected the percentages"),
        ("text:book.txt@encoding=latin-99", "expected the name of an encoding"),
        ("text:book.txt@encoding=rot13", "expected the name of an encoding"),
        ("text:book.txt@encoding=base64", "expected the name of an encoding"),
        ("text:book.txt@encoding=", "expected the name of an encoding"),
        ("unseen10", "unseen10 is a set of tasks; name one: copy, "),
        ("text:book.txt@units=bytes", "no option of text:PATH called 'units'; closest: unit"),
    ],
)
def test_mistakes_are_named_in_one_line(corpora, spec, message):
    with pytest.raises(TaskError) as caught:
        get_task(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_table_lists_every_task_with_its_options():
    rows = {row["name"]: row for row in describe_tasks()}
    assert list(rows) == [*list_tasks(), "text:PATH", "captions:PATH"]
    assert rows["arithmetic"]["options"] == "digits=8,distractors=0.48"
    assert rows["warpeace"]["options"] == (
        "unit=bytes,encoding=auto,split=80/10/10,stretches=1,words=10000,least_count=1"
    )
    assert all(row["summary"] for row in rows.values())


def test_defaults_can_be_written_out(corpora):
    for row in describe_tasks():
        if row["name"].endswith(":PATH") or row["name"] == "icons":  # no file, perhaps no font
            continue
        assert get_task(f"{row['name']}@{row['options']}").name == row["name"]


def test_every_member_of_a_set_is_a_task(corpora):
    for name, members in TASK_SETS.items():
        assert name not in list_tasks()
        assert len(set(members)) == len(members) > 1
        assert [get_task(member).name for member in members] == list(members)


def test_sets_stand_for_their_members():
    members = list(TASK_SETS["unseen10"])
    assert expand_tasks(["xml", "unseen10"]) == ["xml", *members]
    assert expand_tasks(["unseen10", "copy"]) == [m for m in members if m != "copy"] + ["copy"]
    assert expand_tasks(["unseen10", "unseen10"]) == members
    assert expand_tasks(["xml", "xml"]) == ["xml", "xml"]
