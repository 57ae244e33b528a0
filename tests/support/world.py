"""A manager on a sandbox, in virtual time: what most tests of behaviour stand on."""

from __future__ import annotations

from typing import Any

import httpx

from wxtoken_asgi import Account, TokenManager
from wxtoken_asgi.sandbox import Sandbox

from support.virtual import VirtualClock

APPIDS = {"alpha": "wx00000000000000a1", "beta": "wx00000000000000b2", "mini": "wx00000000000000c3"}
SECRETS = {name: f"secret-of-{name}-{'0' * 16}" for name in APPIDS}


class World:
    """A sandbox WeChat with the accounts alpha (stable), beta (old endpoint) and mini (a mini program).

    Args:
        overlap: the sandbox's.
    """

    def __init__(self, overlap: str = "grace", **sandbox: Any) -> None:
        self.clock = VirtualClock()
        self.sandbox = Sandbox(overlap=overlap, clock=self.clock, **sandbox)
        for name, appid in APPIDS.items():
            self.sandbox.add(appid, SECRETS[name], kind="mini" if name == "mini" else "service")

    def account(self, name: str, **options: Any) -> Account:
        endpoint = options.pop("endpoint", "token" if name == "beta" else "stable")
        options.setdefault("secret", SECRETS[name])
        return Account(name, APPIDS[name], endpoint=endpoint, **options)

    def manager(self, *accounts: Account, **options: Any) -> TokenManager:
        options.setdefault("store", "memory:")
        options.setdefault("clock", self.clock)
        options.setdefault("transport", httpx.ASGITransport(self.sandbox))
        return TokenManager(accounts or [self.account("alpha"), self.account("beta")], **options)

    def count(self, path: str, name: str | None = None) -> int:
        return self.sandbox.count(f"/cgi-bin/{path}", APPIDS[name] if name else None)
