"""The page of units in a real browser: it opens from disk, says nothing, and its controls work."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from odyssey.report.inside.units_page import UnitTrack, write_units_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")

TEXT = 'He said "</script>" & left.\n\tthen é\x01\n' * 30
STEPS = len(TEXT)

DRIVER = """<script>
const found = {errors: window.errors, ready: window.unitsReady};
const $ = (id) => document.getElementById(id);
const cells = () => [...document.querySelectorAll("#rows i")];
const set = (id, value) => { $(id).value = value; $(id).onchange(); };
%s
const out = document.createElement("pre");
out.id = "found";
out.textContent = JSON.stringify(found);
document.querySelectorAll("script").forEach((s) => s.remove());  // what is dumped stays small
document.body.append(out);
</script>"""


def browse(page, script, tmp_path):
    """Opens the page with a script at its end; gives what that found, and what was logged."""
    text = page.read_text("utf-8")
    watch = "<script>window.errors = []; window.onerror = (m) => errors.push(m);</script>"
    driven = tmp_path / "driven.html"
    driven.write_text(
        text.replace("<head>", "<head>" + watch, 1).replace("</body>", DRIVER % script + "</body>")
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,700"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", driven.as_uri()]
    called = subprocess.run([BROWSER, *flags], capture_output=True, text=True, timeout=200)
    (text,) = re.findall(r'<pre id="found">(.*?)</pre>', called.stdout, re.S)
    for code, symbol in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(code, symbol)
    console = [line for line in called.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(text), console


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    ramp = np.linspace(-1, 1, STEPS)
    quotes = np.array([symbol == '"' for symbol in TEXT])
    h = np.stack([ramp, np.where(quotes, 0.9, -0.9)], 1).astype(np.float32)
    gate = np.stack([quotes, ~quotes, quotes], 1).astype(np.float32)
    tracks = [
        UnitTrack(0, "h", "state", h),
        UnitTrack(0, "f", "gate", gate),
        UnitTrack(1, "c", "state", 5 * h),
    ]
    scores = pd.DataFrame(
        [("quotes", 0, "f", 2, 1.0, True), ("quotes", 0, "h", 1, 0.9, True)],
        columns=["probe", "layer", "track", "unit", "rho", "found"],
    )
    return write_units_page(
        tmp_path_factory.mktemp("page") / "units.html",
        title="a <cell>",
        lead="read & seen",
        symbols=list(TEXT),
        tracks=tracks,
        probes={"quotes": quotes, "place": np.arange(STEPS, dtype=float)},
        scores=scores,
    )


@needs_browser
def test_its_controls_work(page, tmp_path):
    found, console = browse(
        page,
        """
        found.title = document.querySelector("h1").textContent;
        found.first = cells().slice(0, 27).map((c) => c.textContent).join("");
        found.red = cells()[0].style.background;
        set("unit", "1");
        found.quote = cells()[8].style.background;
        $("next").click(); found.next = $("readout").textContent;
        $("next").click(); found.second = $("readout").textContent;
        $("previous").click(); found.back = $("readout").textContent;
        $("previous").click(); found.around = $("readout").textContent;
        found.scrolled = $("view").scrollTop > 0;
        found.marked = cells().filter((c) => c.classList.contains("mark")).length;
        found.drawn = cells().length;
        set("track", "1"); found.scale = $("scale").textContent;
        found.units = $("unit").max;
        $("more").click(); found.unit = $("unit").value;
        $("more").click(); $("more").click(); found.most = $("unit").value;
        set("layer", "1"); found.squashed = $("scale").textContent; found.kept = $("unit").value;
        set("probe", "0");
        found.best = [...$("best").options].map((o) => o.textContent);
        set("best", "0"); found.chosen = document.title;
        set("best", "1"); found.other = document.title;
        $("view").scrollTop = 0; $("view").onscroll();
        found.on = cells().findIndex((c) => c.classList.contains("on"));
        document.onkeydown({key: "ArrowLeft", target: document.body, preventDefault() {}});
        found.left = $("unit").value;
        found.hash = location.hash;
        $("threshold").value = "2"; $("next").click(); found.never = $("readout").textContent;
        """,
        tmp_path,
    )
    assert console == []
    assert found["errors"] == []
    assert found["title"] == "a <cell>"
    assert found["first"] == 'He said "</script>" & left.'
    assert found["red"] == "rgb(255, 0, 0)"
    assert found["quote"].startswith("rgb(")
    assert found["quote"].endswith(", 255)")
    assert found["next"].startswith('symbol 8 "\\"": 0.90')
    assert found["second"].startswith("symbol 18 ")
    assert found["back"] == found["next"]
    last = TEXT.rindex('"')
    assert found["around"].startswith(f"symbol {last} ")
    assert found["scrolled"]
    assert found["marked"] == 1
    assert found["drawn"] < STEPS
    assert found["scale"] == "0 to 1"
    assert (found["units"], found["unit"], found["most"]) == ("2", "2", "2")
    assert found["squashed"] == "-1 to 1, tanh of the value"
    assert found["kept"] == "1"
    assert found["best"][1:] == ["f[2] of layer 0, rho 1.00", "h[1] of layer 0, rho 0.90"]
    assert found["chosen"] == "a <cell>: f[2] of layer 0"
    assert found["other"] == "a <cell>: h[1] of layer 0"
    assert found["on"] == 8
    assert found["left"] == "0"
    assert found["hash"] == "#0.0.0"
    assert found["never"] == "never reaches the threshold"


@needs_browser
def test_a_large_page_draws_only_what_is_in_sight(tmp_path):
    steps, units = 100_000, 512
    rng = np.random.default_rng(1)
    values = rng.random((steps, units), dtype=np.float32) * 2 - 1
    symbols = list(("x" * 79 + "\n") * (steps // 80))
    page = write_units_page(
        tmp_path / "units.html",
        title="large",
        lead="",
        symbols=symbols,
        tracks=[UnitTrack(0, "h", "state", values)],
        probes={},
    )
    script = """
        found.first = cells().length; set("unit", "511"); found.drawn = cells().length;
        found.all = document.getElementsByTagName("*").length;
    """
    found, console = browse(page, script, tmp_path)
    assert console == []
    assert found["errors"] == []
    assert found["ready"] > 0
    # the lines in sight only, for the first unit and for the last, or it would not scale
    assert 80 * 20 < found["first"] == found["drawn"] < 80 * 60
    assert found["all"] < found["drawn"] + 2_000


def test_a_page_needs_no_network(page):
    text = page.read_text("utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http" not in text
