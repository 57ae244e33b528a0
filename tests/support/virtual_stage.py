"""A stage of the store contract in virtual time, on both backends."""

from __future__ import annotations

import pytest

from wxtoken_asgi.testing import StoreContract

from support.virtual import VirtualClock, virtual_backend


class VirtualStage(StoreContract):
    """The contract for a store that takes its time from a clock that is given to it."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request):
        return virtual_backend(request.param)

    @pytest.fixture
    def clock(self):
        return VirtualClock()

    @pytest.fixture
    def later(self, clock):
        def pass_by(seconds):
            clock.slept += seconds

        return pass_by

    @pytest.fixture
    def step(self, clock):
        def step(seconds):
            clock.wall_offset += seconds

        return step
