import pytest
from support.plugged import unplugged


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch, tmp_path):
    with unplugged(monkeypatch, tmp_path / "cache"):
        yield
