from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.virtual import virtual_backend
from support.world import World

sys.path.append(str(Path(__file__).parent))  # for errors_table


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_backend(request.param)


@pytest.fixture
def world():
    return World()
