"""P11: asyncio and trio, both, everywhere. Each test of this folder runs on both; this one on real loops."""

from __future__ import annotations

import anyio
import httpx
import pytest

from wxtoken_asgi import TokenManager
from wxtoken_asgi.clock import Clock

from support.fleet import http_client


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_manager_lives_on_a_real_loop(world, backend):
    async def live():
        tokens = TokenManager(
            [world.account("alpha"), world.account("beta", tickets=["jsapi"])],
            store="memory:",
            transport=httpx.ASGITransport(world.sandbox),
            clock=Clock(),
        )
        async with tokens, http_client(tokens) as http:
            for path in (
                "/token/alpha",
                "/ticket/beta",
                "/js-config/beta?url=http%3A%2F%2Fa.b%2F",
                "/health/ready",
            ):
                assert (await http.get(path)).status_code == 200
            assert (await http.put("/token/alpha")).json() == {"message": "ok"}

    anyio.run(live, backend=backend)
