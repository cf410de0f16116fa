"""Pictures as tasks want them: one size, one number a pixel from 0 to 1.

Shapes: H and W height and width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.wording import quoted

MOST_PIXELS = 50_000_000
LONGEST_PATH = 200  # characters of a path in a message


def read_picture(
    path: str | Path, height: int, width: int, *, dark: bool = False
) -> NDArray[np.float32]:
    """Reads a picture file, and fits it to a size.

    It is made grey and shrunk or enlarged until it fits, as it is, without being stretched or
    cropped; what is left over has the colour of its border (the median). What is transparent is
    black.

    Args:
        path: The file.
        height: H.
        width: W.
        dark: Whether the ground is to be dark: a picture with a bright border is then inverted.

    Returns:
        (H, W, 1), from 0, black, to 1, white.

    Raises:
        TaskError: The file cannot be read, or is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise TaskError(
                    f"{quoted(str(path), LONGEST_PATH)} has more than {MOST_PIXELS:,} pixels"
                )
            clear = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = getattr(error, "strerror", None) or "it is no picture that Pillow knows"
        raise TaskError(f"cannot read {quoted(str(path), LONGEST_PATH)}: {why}") from None
    ground = Image.new("RGBA", clear.size, (0, 0, 0, 255))
    grey = Image.alpha_composite(ground, clear).convert("L")
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    scale = min(height / grey.height, width / grey.width)
    size = [
        max(1, min(most, round(n * scale)))
        for n, most in zip(grey.size, (width, height), strict=True)
    ]
    fitted = Image.new("L", (width, height), int(np.median(border)))
    small = grey.resize((size[0], size[1]), Image.Resampling.BOX if scale < 1 else None)
    fitted.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    values = np.asarray(fitted, dtype=np.float32)[..., None] / np.float32(255)
    return np.float32(1) - values if dark and np.median(border) > 127 else values
