"""Diagrams: all that is computed is there, and boxes stand where arrows go from left to right."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
from support.random_cells import random_cell

from odyssey.cells import LIBRARY, library_cell
from odyssey.formats.diagram import read_flow
from odyssey.formats.layout import arrange
from odyssey.formats.mermaid import write_mermaid
from odyssey.formats.svg import write_svg


def flows():
    rng = np.random.default_rng(4)
    return [library_cell(n) for n in LIBRARY] + [random_cell(rng, size=40) for _ in range(20)]


def test_pictures_have_all_that_is_computed():
    for cell in flows():
        flow = read_flow(cell)
        svg = ElementTree.fromstring(write_svg(flow))
        about = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}title")]
        for state in cell.states:
            assert any(text.startswith(f"{state}[t] = ") for text in about), (cell.name, state)
        mermaid = write_mermaid(flow)
        known = set(re.findall(r"^    (n\d+)[\[\(]", mermaid, re.M))
        arrows = re.findall(r"^    (n\d+) --> (n\d+)$", mermaid, re.M)
        assert len(arrows) == len(flow.arrows)
        assert {end for arrow in arrows for end in arrow} <= known
        # a box that nobody reads is a state after the step, or the output
        idle = {b.key for b in flow.boxes} - {source for source, _ in flow.arrows}
        assert {flow.boxes[k].kind for k in idle} <= {"after", "output"}, cell.name


def test_boxes_do_not_overlap_and_arrows_go_right():
    for cell in flows():
        flow = read_flow(cell)
        sizes = {b.key: 30.0 for b in flow.boxes}
        laid = arrange([b.key for b in flow.boxes], flow.arrows, sizes, gap=10.0)
        for source, target in flow.arrows:
            columns = [laid.column[source], *(c for c, _ in laid.points[source, target])]
            assert [*columns, laid.column[target]] == list(
                range(laid.column[source], laid.column[target] + 1)
            )
        for column in set(laid.column.values()):
            heights = sorted(laid.height[k] for k, c in laid.column.items() if c == column)
            assert all(b - a >= 40 - 1e-6 for a, b in pairwise(heights))
