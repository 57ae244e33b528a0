"""Many accounts of different ages on one sandbox, and clients that keep what they are told to keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware
from wxtoken_asgi.sandbox import Sandbox

from support.virtual import VirtualClock

SECRET = "secret-of-a-fleet-0000000000000000"


class Fleet:
    """Accounts whose tokens and tickets have different ages when the manager starts.

    Args:
        endpoints: for each account, its endpoint.
        overlap: the sandbox's.
        apart_s: seconds between the ages of two neighbours.
        tickets: the accounts list the jsapi ticket.

    Attributes:
        older: the tokens that the accounts have when the manager starts.
    """

    def __init__(self, endpoints: list[str], *, overlap: str, apart_s: float, tickets: bool = True) -> None:
        self.clock = VirtualClock()
        self.sandbox = Sandbox(overlap=overlap, clock=self.clock)
        words = ("jsapi",) if tickets else ()
        self.accounts = [
            Account(f"account{n}", f"wx{n:016d}", SECRET, endpoint=endpoint, tickets=words, daily_quota=2000)
            for n, endpoint in enumerate(endpoints)
        ]
        self.older: list[str] = []
        for n, account in enumerate(self.accounts):
            self.sandbox.add(account.appid, SECRET, ticket_age=(n * apart_s) % 7200)
            self.older.append(self.sandbox.outside_fetch(account.appid, account.endpoint))
            self.sandbox.advance(apart_s)

    def manager(self, **options: Any) -> TokenManager:
        options.setdefault("store", "memory:")
        transport = httpx.ASGITransport(self.sandbox)
        return TokenManager(self.accounts, clock=self.clock, transport=transport, **options)


@dataclass
class Client:
    """Keeps a value for exactly as long as it was told to.

    Attributes:
        refused: how often a read was refused.
        dead: how often WeChat did not take the value that was kept.
        dead_reads: how often WeChat did not take a value just read.
    """

    fleet: Fleet
    http: httpx.AsyncClient
    path: str
    field: str
    value: str = ""
    until: float = 0.0
    refused: int = 0
    dead: int = 0
    dead_reads: int = 0
    reads: int = 0
    told: list[int] = field(default_factory=list)

    async def use(self) -> None:
        """Read again if it may not be kept any longer, and use it."""
        if self.fleet.clock.monotonic() >= self.until:
            await self._read()
        elif not self._taken():
            self.dead += 1

    async def _read(self) -> None:
        self.reads += 1
        answer = await self.http.get(self.path, params={"format": "json"})
        if answer.status_code != 200:
            self.refused += 1
            return
        content = answer.json()
        self.value = content[self.field]
        self.told.append(content["expires_in"])
        self.until = self.fleet.clock.monotonic() + content["expires_in"]
        self.dead_reads += not self._taken()

    def _taken(self) -> bool:
        sandbox = self.fleet.sandbox
        return (
            sandbox.accepts(self.value)
            if self.field == "access_token"
            else sandbox.accepts_ticket(self.value)
        )


def http_client(tokens: TokenManager) -> httpx.AsyncClient:
    """Asks the manager over HTTP, in process, from loopback."""
    app = WxTokenMiddleware(tokens=tokens)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")
