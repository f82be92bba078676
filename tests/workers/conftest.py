from collections.abc import Iterator

import pytest

from tests.workers.probe import Probe, register
from workers import registry


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    """A kind of job that does what the test says."""
    probe = Probe()
    kinds, limits = register(probe)
    monkeypatch.setattr(registry, "_kinds", kinds)
    monkeypatch.setattr(registry, "_limits", limits)
    yield probe
