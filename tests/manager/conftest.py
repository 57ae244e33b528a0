from __future__ import annotations

import pytest

from support.faulty_store import FaultyStore
from support.virtual import virtual_backend
from support.world import World


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_backend(request.param)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def store(world):
    return FaultyStore(world.clock)


@pytest.fixture
def other(world, store):
    """Another connection to the same records."""
    found = FaultyStore(world.clock)
    found.inner = store.inner
    return found
