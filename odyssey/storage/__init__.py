"""Records on disk: the border between running and looking.

`schema.py` names the columns, `frames.py` turns Parquet into typed frames, `store.py` is the run
directory that runners write, `shards.py` its Parquet files, `loading.py` reads one run or several;
`places.py` is where a run may lie: a path or a URL. `labels.py` says what records of a run that
grows belong to, `rungs.py` which of the rows of a ladder count, `candidates.py` are those of a
search, `samples.py` is what a model wrote, `files.py` writes whole files and checks what it reads,
`lease.py` says who writes, `scratch.py` has temporary files, `guessing.py` what a guess scores,
`floors.py` the table of what tasks cost, `operations.py` fills what older records lack,
`plugins.py` keeps and loads the plug-ins of a run. May import expr and the rooms below, pandas and
pyarrow; never torch, ray or anything that trains.
To add a column: one row in `schema.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odyssey.storage.loading import load_curves as load_curves
    from odyssey.storage.loading import load_results as load_results
    from odyssey.storage.store import RunStore as RunStore

__all__ = ["RunStore", "load_curves", "load_results"]


def __getattr__(name: str) -> Any:  # pandas waits until a record is read or written
    if name in __all__:
        from odyssey.storage import loading

        return getattr(loading, name)
    raise AttributeError(f"module 'odyssey.storage' has no attribute {name!r}")
