from __future__ import annotations

import pytest
from support.fake_runs import fake_run

from odyssey.report import tables


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A run whose mut1 failed on xml; read only."""
    return fake_run(tmp_path_factory.mktemp("fake") / "run", failed={("xml", "mut1")})


@pytest.fixture(scope="session")
def results(store):
    return tables.with_labels(store.results())


@pytest.fixture(scope="session")
def curves(store):
    return tables.with_labels(store.curves())
