"""Studies that come with the package, to be run and to be copied: one TOML file each.

What one asks, and what it can show, is said by the experiment of its name.
"""

from __future__ import annotations

from pathlib import Path

from odyssey.errors import ConfigError, StoreError, suggest

FOLDER = Path(__file__).parent


def list_examples() -> list[str]:
    """Gives the names of the examples, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def example_path(name: str) -> Path:
    """Gives the file of an example.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in (known := list_examples()):
        raise ConfigError(suggest(name, known, what="example"))
    return FOLDER / f"{name}.toml"


def copy_example(name: str, to: str | Path) -> None:
    """Writes the file of an example to a new file.

    Raises:
        ConfigError: There is none of this name, or there is such a file already.
        StoreError: It cannot be written.
    """
    text = example_path(name).read_text("utf-8")
    try:
        with Path(to).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{to} is there already; name another file") from None
    except OSError as error:
        raise StoreError(f"cannot write {to}: {error.strerror}") from None
