"""Copies a finished run into results/: its trials in one Parquet file, its curves in another.

Usage: python analysis/keep.py RUN OUT

The copy is a run directory: `odyssey report OUT` and `odyssey.load_results(OUT)` work on it.
"""

import shutil
import sys
from pathlib import Path

from odyssey.errors import OdysseyError, StoreError
from odyssey.storage import RunStore

FILE = "merged-all.parquet"


def keep(run: Path, out: Path) -> None:
    """Copies a run; raises `StoreError` where it is not whole or `out` is something else."""
    store = RunStore.open(run)
    results, curves = store.results(), store.curves()
    done, planned = results["trial"].nunique(), int(store.run["trials"])
    if done != planned:
        raise StoreError(f"{run}: {done} of {planned} trials are finished; resume it first")
    if out.exists() and not (out / "run.json").is_file():
        raise StoreError(f"{out} is there and is not a run; give another directory")
    for folder, frame in (("results", results), ("curves", curves)):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)
        frame.to_parquet(out / folder / FILE, compression="zstd", index=False)
    for name in ("study.toml", "run.json"):
        shutil.copyfile(run / name, out / name)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python analysis/keep.py RUN OUT")
    try:
        keep(Path(sys.argv[1]), Path(sys.argv[2]))
    except OdysseyError as error:
        sys.exit(f"error: {error}")
