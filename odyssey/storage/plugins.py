"""The plug-ins of a run on disk: their code, as it was when the run began.

`DIR/plugins/NAME/NAME.py` and the `.cell` files beside it; run.json holds their digest. They are
data until somebody whom the code belongs to opens the run (`odyssey.plugins.trust`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from odyssey.errors import ConfigError, StoreError
from odyssey.plugins.loading import check_recorded, load_recorded
from odyssey.plugins.source import FOLDER, MOST_BYTES, PluginSource, cell_files
from odyssey.storage import files
from odyssey.storage.files import DamagedFileError, why
from odyssey.storage.places import Place


def keep_plugins(run: Place, sources: Iterable[PluginSource]) -> None:
    """Writes the code of plug-ins into a run directory; raises `OSError` where that fails."""
    for source in sources:
        for name, text in source.files.items():
            path = run / FOLDER
            for part in (source.name, *name.split("/")):
                path.mkdir(exist_ok=True)
                path = path / part
            files.write_atomically(path, text.encode())


def load_plugins(run: Place, facts: Mapping[str, Any]) -> None:
    """Loads what a run was made with and is not loaded yet.

    Args:
        run: The run directory.
        facts: Its run.json.

    Raises:
        StoreError: The run does not hold its plug-ins.
        ConfigError: See `odyssey.plugins.loading.load_recorded`.
    """
    records = facts.get("plugins")
    if not records:
        return
    try:
        missing = check_recorded(records, run=str(run))
        texts = {name: _read(run, name, records[name]) for name in missing}
    except (AttributeError, KeyError, TypeError):
        raise StoreError(f"{run}: run.json does not say what its plug-ins are") from None
    load_recorded(records, texts, run=str(run))


def _read(run: Place, name: str, record: Mapping[str, str]) -> dict[str, str]:
    """Reads the files of a plug-in; none of one that is an installed module."""
    if not record["kept"].startswith(f"{FOLDER}/"):
        return {}
    folder = run / FOLDER / name
    texts = {f"{name}.py": _text(folder / f"{name}.py")}
    for cell in cell_files(texts[f"{name}.py"]):
        path = folder
        for part in cell.split("/"):
            path = path / part
        if path.is_file():
            texts[cell] = _text(path)
    return texts


def _text(path: Place) -> str:
    try:
        return files.read_regular(path, most=MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError, DamagedFileError) as error:
        raise ConfigError(
            f"cannot read {path}, a plug-in of the run: {why(error)}; name it with --plugin"
        ) from None
