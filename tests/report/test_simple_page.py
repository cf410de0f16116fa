"""A page of text, tables and figures."""

import pandas as pd
from matplotlib.figure import Figure

from odyssey.report.page.pictures import Picture
from odyssey.report.page.simple import PageSection, write_simple_page


def test_a_page_holds_everything_and_escapes_text(tmp_path):
    figure = Figure()
    figure.subplots().plot([1, 2])
    picture = Picture("line", "", "A line", "It rises & falls.", figure, pd.DataFrame())
    table = pd.DataFrame({"cell": ["a<b", None], "loss": [0.25, float("nan")]})
    parts = [PageSection("One", ("text <i>",), (table, picture))]
    pages = [
        write_simple_page(tmp_path / name, title="T & U", lead="why", parts=parts).read_bytes()
        for name in ("a.html", "b.html")
    ]
    assert pages[0] == pages[1]
    text = pages[0].decode()
    assert "T &amp; U" in text
    assert "text &lt;i&gt;" in text
    assert '<td>a&lt;b</td><td class="n">0.25</td>' in text
    assert '<td>-</td><td class="n">-</td>' in text
    assert "It rises &amp; falls." in text
    assert text.count("data:image/svg+xml;base64,") == 1
    assert "http" not in text.partition("base64,")[0]
