"""Records on disk: the border between running and looking.

`schema.py` names the columns, `frames.py` turns Parquet into typed frames, `store.py` is the run
directory that runners write and reports read. May import `odyssey.errors`, pandas and pyarrow;
never torch, ray or anything that trains. To add a column: one row in `schema.py`.
"""

from odyssey.storage.store import RunStore, load_curves, load_results

__all__ = ["RunStore", "load_curves", "load_results"]
