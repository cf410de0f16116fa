"""Copies a finished run into results/: its trials in one Parquet file, its curves in another.

Usage: python analysis/keep.py [--unfinished] RUN OUT

The copy is a run directory: `odyssey report OUT` and `odyssey.load_results(OUT)` work on it. With
--unfinished a run is copied as far as it is; `odyssey search --resume` goes on with a copy of OUT.
Results are kept to the bit. Curves, which are most of the data, keep the seven digits of a float32.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from odyssey.errors import OdysseyError, StoreError
from odyssey.storage import RunStore, files, frames
from odyssey.storage.candidates import load_candidates
from odyssey.storage.schema import CURVE_COLUMNS, RESULT_COLUMNS

FILE = "merged-all.parquet"


def keep(run: Path, out: Path, *, unfinished: bool = False) -> None:
    """Copies a run.

    Args:
        run: The run.
        out: Where to; a run that lies there is replaced.
        unfinished: Copy it as far as it is.

    Raises:
        StoreError: It is not whole, or `out` is something else.
    """
    store = RunStore.open(run)
    results, curves = store.rows(), store.curves(every_rung=True)
    if store.run.get("kind") == "search":
        done = int((load_candidates(run)["arm"] != "seed").sum())
        planned, what = int(store.run["candidates"]), "candidates"
    else:
        done, planned, what = results["trial"].nunique(), int(store.run["trials"]), "trials"
    if done != planned and not unfinished:
        raise StoreError(f"{run}: {done} of {planned} {what} are finished; resume it first")
    if out.exists() and not (out / "run.json").is_file():
        raise StoreError(f"{out} is there and is not a run; give another directory")
    facts = json.loads(portable(json.dumps(store.run, indent=1)))
    curves["value"] = curves["value"].astype("float32").astype("float64")
    for folder, frame, columns, rounded in (
        ("results", results, RESULT_COLUMNS, ()),
        ("curves", curves, CURVE_COLUMNS, ("value",)),
    ):
        frame["spec"] = frame["spec"].map(portable)
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)
        table = frames.table_of(frame.to_dict("records"), columns)
        data = frames.encode(table, run=str(facts.get("id", "")), rounded=rounded)
        files.write_atomically(out / folder / FILE, data)
    for folder in ("candidates", "promoted"):
        if (run / folder).is_dir():
            shutil.copytree(run / folder, out / folder, dirs_exist_ok=True)
    (out / "study.toml").write_text(portable(store.study_text))
    files.write_json(out / "run.json", facts)


def portable(text: str) -> str:
    """Leaves of every path of a `.cell` file its name: the folder means nothing elsewhere."""
    return re.sub(r"""(^|["'])/(?:[^"'\n]*/)?(?=[^/"'\n]+\.cell\b)""", r"\1", text)


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--unfinished"]
    if len(given) != 2:
        sys.exit("usage: python analysis/keep.py [--unfinished] RUN OUT")
    try:
        keep(Path(given[0]), Path(given[1]), unfinished=len(given) != len(sys.argv) - 1)
    except OdysseyError as error:
        sys.exit(f"error: {error}")
