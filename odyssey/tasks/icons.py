"""Material Design Icons with their names, from the font that the package `qtawesome` brings.

7,367 icons (Apache-2.0), drawn in 24 x 24 pixels, white on black. Names are made of words that
recur ("calendar minus outline"), so that those of icons which training never saw can be told in
part.
The font is read from the installed package, which is not imported, and checked by its sha256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.captions import CaptionTask, digest
from odyssey.tasks.signature import Way

SIZE = 24
PARTS = (Fraction(85, 100), Fraction(75, 1000), Fraction(75, 1000))
FONT = "materialdesignicons6-webfont-6.9.96.ttf"
CHARMAP = "materialdesignicons6-webfont-charmap-6.9.96.json"
SHA256 = {
    FONT: "be825c1294d3c4f046c8e496b18f8f0c7d2864e339c81bdab9297f17ffac1938",
    CHARMAP: "6317242191c4c889dec2c174f98dda0f309745d28c23c50a19bbbaf02df930a9",
}
INSTALL = "install it with `pip install 'odyssey-cells[icons]'`"


def icons_task(name: str, *, way: Way) -> CaptionTask:
    """Makes the task.

    Raises:
        TaskError: The package is not installed, or brings another font.
    """
    pictures, names = draw_icons()
    facts = {
        "data": "Material Design Icons 6.9.96",
        "licence": "Apache-2.0",
        "font_sha256": SHA256[FONT],
        "pictures_sha256": digest(pictures, names),
    }
    return CaptionTask(name, pictures=pictures, captions=names, parts=PARTS, way=way, facts=facts)


@cache
def draw_icons() -> tuple[list[NDArray[np.float32]], list[str]]:
    """Gives every icon (24, 24, 1), 0 to 1, and its name, words apart."""
    from PIL import Image, ImageDraw, ImageFont

    codes: dict[str, str] = json.loads(_read(CHARMAP))
    font = ImageFont.truetype(io.BytesIO(_read(FONT)), SIZE, layout_engine=ImageFont.Layout.BASIC)
    pictures = []
    for code in codes.values():
        image = Image.new("L", (SIZE, SIZE))
        ImageDraw.Draw(image).text((0, 0), chr(int(code, 16)), font=font, fill=255)
        pictures.append(np.asarray(image, dtype=np.float32)[..., None] / np.float32(255))
    return pictures, [name.replace("-", " ") for name in codes]


def _read(file: str) -> bytes:
    """Reads a file of the package, and checks that it is the one that is meant."""
    package = importlib.util.find_spec("qtawesome")
    if package is None or package.origin is None:
        raise TaskError(f"icons needs the font of the package qtawesome; {INSTALL}")
    try:
        data = (Path(package.origin).parent / "fonts" / file).read_bytes()
    except OSError:
        raise TaskError(f"this qtawesome has no {file}; {INSTALL}") from None
    if hashlib.sha256(data).hexdigest() != SHA256[file]:
        raise TaskError(f"this qtawesome has another {file} than version 1.4.2; {INSTALL}")
    return data
