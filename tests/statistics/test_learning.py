"""Whether a study says that it has learned nothing, by numbers that are known."""

import numpy as np
import pandas as pd
import pytest

from odyssey.report.study.floors import floors_text, learned_text, not_learned
from odyssey.statistics.floors import LEFT, SOLVED, learning
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.storage.floors import FLOORS_FILE, floors_frame, read_floors

RUN = {"tasks": {"xml": {"name": "xml"}}}


def results(**shifts):
    cells = {name: SimulatedCell(shift=shift) for name, shift in shifts.items()}
    rng = np.random.default_rng(0)
    return with_labels(simulate_results(cells, rng=rng, tasks=("xml",), draws=30))


def floors(memoryless, *, optimum=None):
    rows = [
        ("xml", "chance", None, 9.0, None),
        ("xml", "context", 0, 8.0, 1000),
        ("xml", "context", 1, memoryless, 1000),
        ("xml", "context", 2, 0.001, 1000),
    ]
    if optimum is not None:
        rows.append(("xml", "optimum", None, optimum, None))
    return floors_frame(rows)


def test_the_floor_is_the_best_without_memory_and_the_way_ends_at_the_ceiling():
    frame = results(gru=0.0, lstm=1.0)
    score = float(learning(frame, floors(3.0), baseline="gru")["score"].iloc[0])
    found = learning(frame, floors(score / (1 - 0.25)), baseline="gru").iloc[0]
    assert (found["floor"], found["ceiling"]) == (score / 0.75, 0)
    assert found["share"] == pytest.approx(0.25)
    assert found["learned"]
    nearer = learning(frame, floors(score / 0.75, optimum=score / 2), baseline="gru").iloc[0]
    assert nearer["share"] == pytest.approx((1 / 0.75 - 1) / (1 / 0.75 - 0.5))


def test_a_baseline_at_its_floor_has_not_learned():
    frame = results(gru=0.0, lstm=1.0)
    score = float(learning(frame, floors(3.0), baseline="gru")["score"].iloc[0])
    for beyond, learned in ((LEFT - 0.01, False), (LEFT + 0.01, True)):
        found = learning(frame, floors(score / (1 - beyond)), baseline="gru")
        assert found["learned"].tolist() == [learned]
        assert bool(not_learned(found, RUN)) != learned
    # without a baseline the best cell is asked
    assert learning(frame, floors(3.0))["label"].tolist() == ["gru"]


def test_sentences_have_the_numbers_in_bits():
    frame = results(gru=0.0)
    known = floors(1.01 * float(learning(frame, floors(3.0))["score"].iloc[0]), optimum=0.0)
    found = learning(frame, known, baseline="gru")
    bits = found["score"].iloc[0] / np.log(2)
    (line,) = not_learned(found, RUN)
    assert line.startswith("Not learned: xml. The best draws of gru score ")
    assert f"{bits:.3f} bits per character, the current input alone {1.01 * bits:.3f}" in line
    assert "1.0 % of the way" in learned_text(found, "xml", RUN)
    text = floors_text(known, "xml", RUN)
    assert "n-grams with 0 to 2 inputs of context" in text
    assert "1,000 characters counted" in text
    assert "the optimum 0.000" in text
    assert floors_text(known, "another", RUN) == learned_text(found, "another", RUN) == ""


def test_a_task_that_is_all_but_solved_says_how_much_room_is_left():
    frame = results(gru=0.0)
    score = float(learning(frame, floors(3.0))["score"].iloc[0])
    for share, told in ((SOLVED - 0.01, False), (SOLVED + 0.01, True)):
        optimum = score - 0.25 * np.log(2)
        floor = optimum + (score - optimum) / (1 - share)
        found = learning(frame, floors(floor, optimum=optimum), baseline="gru")
        assert found["share"].tolist() == pytest.approx([share])
        assert (
            "No cell can be better than that by more than 0.250:" in learned_text(found, "xml", RUN)
        ) == told


def test_floors_come_back_from_the_disk_and_a_broken_table_is_none(tmp_path):
    known = floors(2.0)
    assert read_floors(tmp_path).empty
    (tmp_path / FLOORS_FILE).write_text(known.to_csv(index=False))
    pd.testing.assert_frame_equal(read_floors(tmp_path), known)
    (tmp_path / FLOORS_FILE).write_bytes(b"\xff\x00,\n1,2,3,4")
    assert read_floors(tmp_path).empty
    assert learning(results(gru=0.0), read_floors(tmp_path)).empty
