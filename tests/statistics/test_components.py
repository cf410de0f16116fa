"""Components of variance: known ones come back, and seeds alone leave the others at nought."""

import numpy as np
import pandas as pd
import pytest

from odyssey.statistics.components import split_variance, variance_components


def drawn(rng, *, cells=8, settings=12, seeds=4, cell=0.0, setting=0.0, both=0.0, seed=0.1):
    return (
        3.0
        + cell * rng.normal(size=(cells, 1, 1))
        + setting * rng.normal(size=(1, settings, 1))
        + both * rng.normal(size=(cells, settings, 1))
        + seed * rng.normal(size=(cells, settings, seeds))
    )


def test_known_components_come_back_in_the_mean():
    rng = np.random.default_rng(1)
    options = {"cell": 0.3, "setting": 0.4, "both": 0.2, "seed": 0.1}
    found = [split_variance(drawn(rng, **options))[0] for _ in range(200)]
    means = {name: np.mean([f[name] for f in found]) for name in found[0]}
    assert means["seeds"] == pytest.approx(0.01, rel=0.02)
    assert means["cells x hyperparameters"] == pytest.approx(0.04, rel=0.05)
    assert means["hyperparameters"] == pytest.approx(0.16, rel=0.15)
    assert means["cells"] == pytest.approx(0.09, rel=0.2)


def test_with_seeds_alone_the_others_are_next_to_nothing():
    rng = np.random.default_rng(2)
    held, shares = 0, []
    for _ in range(300):
        found, (low, high) = split_variance(drawn(rng))
        held += low <= 0.1 <= high
        shares.append(found["seeds"] / sum(found.values()))
    assert 0.92 < held / 300 < 0.98
    assert np.mean(shares) > 0.93
    one, _ = split_variance(drawn(rng, cells=1))
    assert one["cells"] == one["cells x hyperparameters"] == 0


def frame(table, *, seeds):
    rows = [
        {
            **{"task": "xml", "label": f"c{c}", "spec": f"c{c}", "status": "ok"},
            **{"member": h + r * table.shape[1], "learning_rate": 0.001 * (h + 1)},
            **{"test_bpc": table[c, h, r], "num_symbols": 1000, "seed": h + 100 * r},
        }
        for c, h, r in np.ndindex(table.shape)
        if r < seeds[h]
    ]
    return pd.DataFrame(rows)


def test_a_study_that_repeats_seeds_is_split():
    table = drawn(np.random.default_rng(3), cells=3, settings=4, seeds=3, setting=0.5)
    found = variance_components(frame(table, seeds=[3, 3, 3, 3]))
    expected, ends = split_variance(table)
    assert found["sd"].tolist() == pytest.approx([v**0.5 for v in expected.values()])
    assert found[["cells", "settings", "seeds"]].iloc[0].tolist() == [3, 4, 3]
    assert found.loc[3, ["low", "high"]].tolist() == pytest.approx(ends)
    assert found["share"].sum() == pytest.approx(1)
    # settings with one seed say nothing about seeds, and of uneven numbers the least counts
    fewer = variance_components(frame(table, seeds=[3, 1, 2, 3]))
    assert fewer[["settings", "seeds"]].iloc[0].tolist() == [3, 2]
    assert variance_components(frame(table, seeds=[1, 1, 1, 3])).empty
