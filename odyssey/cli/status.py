"""`odyssey status`: how far a run is, from another terminal."""

from __future__ import annotations

import argparse
import time
from typing import Any

from odyssey.cli.printing import console, duration, print_json
from odyssey.storage.files import read_json
from odyssey.storage.places import Place
from odyssey.storage.store import RunStore


def run(args: argparse.Namespace) -> None:
    """Prints how far the run is, and whether a process works on it."""
    store = RunStore.open(args.directory)
    facts = store.run
    active = store.is_running()
    snapshot = _progress(store.path)
    if snapshot is None:
        done = len(store.finished())
        found: dict[str, Any] = {"study": facts.get("study"), "active": active, "trials": done}
        found["planned"] = facts.get("trials")
        if args.json:
            print_json(found)
            return
        of = f" of {facts['trials']:,}" if "trials" in facts else ""
        print(f"{found['study']}: {done:,}{of} trials finished, {_doing(active)}")
        return
    snapshot["active"] = active
    if args.json:
        print_json(snapshot)
        return
    from odyssey.cli.live_search import picture

    age = duration(max(time.time() - snapshot["written"], 0.0))
    print(f"{snapshot['study']}: {_doing(active)}; as of {age} ago")
    console().print(picture(snapshot))
    if not active and snapshot["told"] < snapshot["total"]:
        print(f"go on with: odyssey search --resume {store.path}")


def _doing(active: bool) -> str:
    return "running" if active else "not running"


def _progress(directory: Place) -> dict[str, Any] | None:
    try:
        return read_json(directory / "progress.json", required=True)
    except FileNotFoundError:
        return None
