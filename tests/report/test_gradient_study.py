"""Figures of gradient measurements show the frames they are given; the animation runs."""

import itertools
import shutil

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from odyssey.report.inside import animation
from odyssey.report.inside import gradient_plots as draw
from odyssey.report.inside.gradient_study import gradient_figures, write_gradient_study
from odyssey.statistics.gradients import bands, mean_shares, summary

LABELS = ("elman", "lstm")
STEPS = 13


@pytest.fixture(scope="module")
def norms():
    rows = [
        (label, member, 0, state, back, -rate * back - 0.1 * member)
        for label, rate in zip(LABELS, (1.0, 0.1), strict=True)
        for member in range(3)
        for state in ("h", "all")
        for back in range(STEPS)
    ]
    columns = ["label", "member", "row", "state", "steps_back", "log10_norm"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(name=frame["label"], norm=10.0 ** frame["log10_norm"])


@pytest.fixture(scope="module")
def frames(norms):
    horizons = pd.DataFrame(
        [(x, m, 0, "all", f, s) for x in LABELS for m in range(3) for f, s in HORIZONS.items()],
        columns=["label", "member", "row", "state", "factor", "steps"],
    )
    exponents = pd.DataFrame(
        [(x, m, 0, i, -0.5 * i) for x in LABELS for m in range(3) for i in (1, 2)],
        columns=["label", "member", "row", "index", "exponent"],
    )
    rng = np.random.default_rng(1)
    spectra = pd.DataFrame(
        {"label": np.repeat(LABELS, 20), "real": rng.normal(size=40), "imaginary": 0.0}
    ).assign(singular_value=1.0)
    paths = pd.DataFrame(
        [
            (x, split, back, m, 0, route, route == "f * c[t-1]", "h", share)
            for x in LABELS
            for split in ("step", "unbroken")
            for back in range(1, STEPS)
            for m in range(3)
            for route, share in (("f * c[t-1]", 1.25), ("g", -0.25))
        ],
        columns=[
            *("label", "split", "steps_back", "member", "row", "route", "direct", "origin"),
            "share",
        ],
    )
    slices = pd.DataFrame(
        [
            (x, "h", back, u, 10.0**-back * (u + 1))
            for x in LABELS
            for back in range(STEPS)
            for u in range(7)
        ],
        columns=["label", "state", "steps_back", "unit", "gradient"],
    )
    predicted = norms[norms["member"] == 0].assign(weights="frozen")
    return {
        "norms": norms,
        "horizons": horizons,
        "exponents": exponents,
        "spectra": spectra,
        "paths": paths,
        "slices": slices,
        "predicted": predicted,
    }


HORIZONS = {"10x": 4.0, "1000x": np.inf}


def test_bands_are_quantiles_also_of_infinite_values():
    frame = pd.DataFrame({"k": ["a"] * 10, "v": [-np.inf, *range(9)]})
    found = bands(frame, "v", ["k"]).iloc[0]
    assert (found["median"], found["low"], found["high"], found["n"]) == (3.5, -np.inf, 7.1, 10)
    ends = bands(pd.DataFrame({"k": "a", "v": [1.0, np.inf]}), "v", ["k"]).iloc[0]
    assert (ends["median"], ends["low"]) == (np.inf, np.inf)
    apart = bands(pd.DataFrame({"k": "a", "v": [-np.inf, np.inf]}), "v", ["k"]).iloc[0]
    assert np.isnan(apart["median"])
    empty = bands(frame.assign(v=np.nan), "v", ["k"]).iloc[0]
    assert np.isnan(empty["median"])
    assert empty["n"] == 0


def test_summary_says_never_and_counts_decades(frames):
    table = summary(*(frames[n] for n in ("norms", "horizons", "exponents"))).set_index("label")
    assert table.loc["lstm", "steps to 10x"] == "4.0 [4.0, 4.0]"
    assert table.loc["lstm", "steps to 1000x"] == "never [never, never]"
    assert table.loc["elman", "decades"] == "-12.1 [-12.2, -12.0]"
    assert table.loc["elman", "exponent"] == "-0.50 [-0.50, -0.50]"


def test_norms_are_drawn_in_decades_with_a_name_each(norms):
    before = dict(mpl.rcParams)
    data = bands(norms[norms["state"] == "all"], "log10_norm", ["label", "steps_back"])
    ax = draw.plot_gradient_norms(data)
    assert dict(mpl.rcParams) == before
    assert {t.get_text() for t in ax.texts} == set(LABELS)
    for line, label in zip(ax.lines, LABELS, strict=True):
        expected = data[data["label"] == label]["median"]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    assert len(ax.collections) == 2  # bands
    with_reference = draw.plot_gradient_norms(data, reference=data)
    assert len(with_reference.lines) == 4
    assert with_reference.get_legend().get_texts()[0].get_text() == "predicted"


def test_zeros_leave_the_picture(norms):
    data = bands(norms[norms["state"] == "all"], "log10_norm", ["label", "steps_back"])
    dead = data["steps_back"] > 3
    data.loc[dead, ["median", "low", "high"]] = -np.inf
    ax = draw.plot_gradient_norms(data)
    assert max(ax.lines[0].get_xdata()) == 3
    assert ax.get_ylim()[0] > -10


def test_shares_are_stacked_up_and_down(frames):
    shares = mean_shares(frames["paths"])
    assert shares.groupby(["label", "split", "steps_back"])["share"].sum().eq(1.0).all()
    figure = draw.plot_paths(shares)
    for ax in figure.axes[:4]:
        tops = [c.get_datalim(ax.transData).y1 for c in ax.collections]
        bottoms = [c.get_datalim(ax.transData).y0 for c in ax.collections]
        assert max(tops) == pytest.approx(1.25)
        assert min(bottoms) == pytest.approx(-0.25)


def test_spectra_have_a_unit_circle_and_a_row_an_update(frames):
    spectra = pd.concat([frames["spectra"].assign(update=u) for u in (0, 100)])
    figure = draw.plot_jacobian_spectrum(spectra)
    assert len(figure.axes) == 4
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == ["update 0", "update 100"]
    for ax in figure.axes:
        assert ax.patches[0].get_radius() == 1.0
        assert len(ax.lines[0].get_xdata()) == 20


def test_the_heat_map_has_a_column_an_update(norms):
    data = pd.concat([norms.assign(update=u) for u in (0, 50, 100)])
    data = bands(data[data["state"] == "all"], "log10_norm", ["label", "update", "steps_back"])
    figure = draw.plot_norm_heatmap(data, lowest=-5.0)
    mesh = figure.axes[0].collections[0]
    assert mesh.get_array().shape == (STEPS, 3)
    assert mesh.get_array().min() == -5.0


def test_horizons_that_are_never_reached_are_marked():
    data = pd.DataFrame(
        {"label": "lstm", "forget_bias": [0.0, 1.0, 5.0], "median": [3.0, 9.0, np.inf]}
    ).assign(low=lambda f: f["median"], high=np.inf)
    ax = draw.plot_horizons(data, value="forget_bias")
    assert [t.get_text() for t in ax.texts] == ["never within the sequence"]
    assert list(ax.lines[2].get_xdata()) == [5.0]


def frames_of(path):
    with Image.open(path) as image:
        found = []
        for k in range(image.n_frames):
            image.seek(k)
            found.append(np.asarray(image.convert("RGB")))
        return found, image.info


def test_the_animation_runs_back_to_the_first_step(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    written = animation.animate_gradients(frames["slices"], tmp_path / "deep" / "a")
    assert [p.name for p in written] == ["a.gif"]
    found, info = frames_of(written[0])
    assert len(found) == STEPS
    assert info["loop"] == 0
    assert len({f.shape for f in found}) == 1
    assert all((a != b).any() for a, b in itertools.pairwise(found))
    # the units fade to black
    upper = slice(30, found[0].shape[0] // 3)
    dark = [(f[upper].sum(-1) < 40).mean() for f in (found[0], found[-1])]
    assert dark[1] > dark[0] + 0.1


def test_long_sequences_do_not_make_long_animations(frames):
    one = frames["slices"][frames["slices"]["steps_back"] == 0]
    long = pd.concat([one.assign(steps_back=k) for k in range(400)])
    assert len(animation._draw(long)) <= animation.MOST_FRAMES + 1


@pytest.mark.parametrize(("works", "files"), [(True, ["a.gif", "a.mp4"]), (False, ["a.gif"])])
def test_a_movie_where_ffmpeg_works(frames, tmp_path, monkeypatch, works, files):
    fake = tmp_path / "ffmpeg"
    last = 'for last; do :; done; cat > "$last"' if works else "cat > /dev/null; exit 1"
    fake.write_text(f"#!/bin/sh\n{last}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(fake))
    few = frames["slices"][frames["slices"]["steps_back"] < 3]
    written = animation.animate_gradients(few, tmp_path / "a.gif")
    assert [p.name for p in written] == files
    if works:
        pixels = frames_of(written[0])[0][0].size
        assert written[1].stat().st_size == pixels * (3 + animation.HOLD)


@pytest.mark.parametrize("mode", ["initial", "training", "sweep"])
def test_a_study_leaves_its_files(frames, tmp_path, mode):
    given = dict(frames)
    if mode == "training":
        given = {n: pd.concat([f.assign(update=u) for u in (0, 9)]) for n, f in given.items()}
    if mode == "sweep":
        given = {
            n: pd.concat([frames[n].assign(steps_in=v) for v in (1, 2)])
            for n in ("norms", "horizons", "exponents")
        }
    out = tmp_path / "out"
    drawn = gradient_figures(given, sweep="steps_in" if mode == "sweep" else "")
    written = write_gradient_study(given, drawn, out, animate="h")
    figures = {
        "initial": {"norms", "jacobians", "paths", "predicted", "gif"},
        "training": {"norms", "norms_by_update", "jacobians", "paths", "gif"},
        "sweep": {"norms_1_elman", "norms_2_lstm", "horizon_by_steps_in"},
    }[mode]
    assert figures <= set(written)
    assert all(path.stat().st_size > 100 for path in written.values())
    raw = pd.read_csv(written["norms_csv"])
    assert len(raw) == len(given["norms"])
