"""Values and numbers in sentences: short, on one line, in the plural where there are several."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odyssey.cli.main import main
from odyssey.wording import LONGEST, plural, quoted, shorten

LONG = "9" * 5_000
VALUES = st.recursive(
    st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_quoted_is_short_and_printable(value):
    for shown in (quoted(value), shorten(str(value))):
        assert len(shown) <= 4 * LONGEST  # where all of it had to be escaped
        assert shown.isprintable()


def test_what_is_short_is_quoted_as_it_is():
    assert quoted("lstm") == "'lstm'"
    assert quoted([1, "a"]) == "[1, 'a']"
    assert quoted("x" * 100) == repr("x" * 57 + "...")
    assert len(quoted(10**4000)) <= LONGEST
    assert shorten("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize(
    ("count", "words", "expected"),
    [
        (0, ("draw",), "0 draws"),
        (1, ("draw",), "1 draw"),
        (4, ("comparison",), "4 comparisons"),
        (1_200, ("stretch", "stretches"), "1,200 stretches"),
        (1, ("stretch", "stretches"), "1 stretch"),
    ],
)
def test_plural(count, words, expected):
    assert plural(count, *words) == expected


# wherever a user can put a value, 5,000 characters of it leave an error that can be read
LONG_LINES = [
    ("show", LONG),
    ("show", f"lstm:{LONG[:300]}"),
    ("show", "lstm", "--as", LONG),
    ("show", f"{LONG}.cell"),
    ("mutate", "lstm", "--operator", LONG),
    ("mutate", "lstm", "--weights", LONG),
    ("mutate", "lstm", "--weights", f"{LONG}=1"),
    ("train", "lstm", "--task", LONG),
    ("train", "lstm", "--task", f"text:{LONG}"),
    ("train", "lstm", "--task", f"xml@{LONG}"),
    ("train", "lstm", "--task", f"xml@{LONG}=1"),
    ("train", "lstm", "--task", f"xml@max_steps={LONG}"),
    ("train", "lstm", "--task", f"text:x@encoding={LONG}"),
    ("train", "lstm", "--task", f"text:x@split={LONG}"),
    ("train", "lstm", "--task", "xml", "--preset", LONG),
    ("train", "lstm", "--task", "xml", "--epochs", LONG),
    ("train", "lstm", "--task", "xml", "--learning-rate", f"{LONG}x"),
    ("train", "lstm", "--task", "xml", "--optimizer", LONG),
    ("train", "lstm", "--task", "xml", "--set", LONG),
    ("train", "lstm", "--task", "xml", "--set", f"{LONG}=1"),
    ("train", "lstm", "--task", "xml", "--set", f"unroll={LONG}"),
    ("train", "lstm", "--task", "xml", "--set", f"momentum='{LONG}'"),
    ("ablate", "lstm", "--variants", LONG),
    ("ablate", "lstm", "--tasks", LONG),
    ("ablate", "lstm", "--set", LONG),
    ("ablate", "lstm", "--match", LONG),
    ("search", LONG),
    ("search", "--resume", LONG),
    ("status", LONG),
    ("report", LONG),
    ("sample", LONG),
    ("units", LONG),
    ("errors", LONG),
    ("promote", LONG),
    ("gradients", LONG),
    ("gradients", "lstm", "--sweep", LONG),
    ("gradients", "lstm", "--sweep", f"steps={LONG}x"),
    ("gradients", "lstm", "--init", LONG),
    ("gradients", "lstm", "--task", LONG),
    ("data", LONG),
    ("data", "get", LONG),
    ("bench", LONG),
    (LONG,),
]


@pytest.mark.parametrize("line", LONG_LINES, ids=lambda line: " ".join(line)[:50])
def test_a_value_of_5000_characters_is_not_quoted_whole(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(list(line)) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert len(err) < 400
    assert "9" * 130 not in err
    assert list(tmp_path.iterdir()) == []
