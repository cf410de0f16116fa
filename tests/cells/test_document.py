"""docs/cells.md lists the library as it is."""

import re
from pathlib import Path

from odyssey.cells import LIBRARY
from odyssey.jobs.cells import catalogue

PAGE = Path(__file__).parents[2] / "docs/cells.md"
TITLE = "## The cells\n\n"


def test_the_page_lists_the_library():
    _, title, lists = PAGE.read_text("utf-8").partition(TITLE)
    assert title
    assert lists == catalogue(), "write `odyssey cells --markdown` below its title"


def test_readme_says_how_many_there_are():
    readme = PAGE.parents[1].joinpath("README.md").read_text("utf-8")
    assert set(re.findall(r"(\d+) published cells", readme)) == {str(len(LIBRARY))}
