"""Plug-ins in a test: what a test loads is gone when it ends, and no cache has heard of it."""

import sys

import pytest

from odyssey import cells
from odyssey.compiler import layers
from odyssey.compiler.backends.native.call import kernel
from odyssey.plugins import loading, tables, trust


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch, tmp_path):
    """Takes away what a test loads, in the file or folder that imports this, and what it trusts."""
    monkeypatch.setattr(trust, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setenv("ODYSSEY_PLUGINS", "none")
    yield
    forget()


def forget():
    """Takes all plug-ins out of this process, as if a new one began."""
    for table in tables.TABLES:
        registry = tables.registry_of(table)
        for name in registry.added:
            del registry[name]
    for name in list(loading._LOADED):
        del loading._LOADED[name]
        sys.modules.pop(f"odyssey_plugin_{name}", None)
    # what was made of a row that another test may write otherwise
    layers._lowered.cache_clear()
    layers._built.cache_clear()
    kernel.forget()
    cells._parsed.cache_clear()
