from __future__ import annotations

import pytest

from support.virtual import virtual_backend
from support.world import World


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_backend(request.param)


@pytest.fixture
def world():
    return World()
