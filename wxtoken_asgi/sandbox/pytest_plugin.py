"""The fixture `wxtoken_sandbox`, for every test suite that has this package installed.

    async def test_my_shop_has_a_token(wxtoken_sandbox):
        appid, secret = wxtoken_sandbox.account
        async with httpx.AsyncClient(transport=wxtoken_sandbox.transport()) as client:
            ...

pytest imports this file at every start, so nothing here may import a library that the start does not need.
"""

from __future__ import annotations

import pytest

from wxtoken_asgi.sandbox import Sandbox


@pytest.fixture
def wxtoken_sandbox() -> Sandbox:
    """A fresh sandbox with one service account, `sandbox.account`, and no faults.

    Returns:
        The sandbox. `sandbox.account` is its appid `wx0000000000000001` with the secret `sandbox-secret`;
        `sandbox.transport()` is the `httpx.ASGITransport` that leads to it.
    """
    sandbox = Sandbox()
    sandbox.add("wx0000000000000001", "sandbox-secret")
    return sandbox
