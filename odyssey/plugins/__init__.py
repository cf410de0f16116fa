"""Plug-ins: modules of the user's with rows for the tables of the package.

`source.py` reads a plug-in as data: its code, the `.cell` files beside it and their digest.
`tables.py` names the tables that a plug-in may have and puts rows into them; `loading.py` runs a
plug-in once a process, and again in workers; `trust.py` remembers which code was started on this
machine, for code that lies in a run directory is not run because somebody reads the run.

The tables are named, not imported: a plug-in without a probe must not load diagnostics. So this
package knows errors and registries alone, and everything above may use it. docs/plugins.md is about
what a plug-in may hold.
"""

from __future__ import annotations

from odyssey.plugins.loading import SWITCH as SWITCH
from odyssey.plugins.loading import digests as digests
from odyssey.plugins.loading import installed as installed
from odyssey.plugins.loading import load as load
from odyssey.plugins.loading import load_sources as load_sources
from odyssey.plugins.loading import loaded as loaded
