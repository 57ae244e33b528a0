"""Redis: the records of many hosts.

One round trip for each operation on a batch: a Lua script does the work of `Row` inside the server, by the
server's time. All keys of a namespace carry one hash tag, so in a cluster they are in one slot:

    {wxtoken}:meta      format, epoch, number of the last change, the clock's offset
    {wxtoken}:r:…       one hash for each credential
    {wxtoken}:due       credentials by the time when they have to be looked at
    {wxtoken}:news      credentials by the number of their last change
    {wxtoken}:bell      a stream of one entry, which wakes those who wait

No key has an end of its own in Redis, so only an eviction policy for all keys could take one away:
`maxmemory-policy` should be `noeviction`. A record that nobody wanted for 30 days is forgotten by `due`.

redis-py 8 or later is needed, and asyncio: it knows no other loop. Tried out with Redis 6.2.5, 7.0.15 and
8.2.3 and Valkey 9.1.2; what is older than 6.2, clusters of several nodes and hosted services are untested.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
from redis.exceptions import NoScriptError, RedisError

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import ConfigError, StoreError
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import (
    FORMAT,
    Changes,
    Claim,
    Claimed,
    Commit,
    Committed,
    Due,
    Fail,
    Record,
    Store,
    Supply,
)
from wxtoken_asgi.stores.redis import codec
from wxtoken_asgi.stores.redis.address import Place, place_of, place_of_client
from wxtoken_asgi.stores.redis.evidence import Evidence
from wxtoken_asgi.stores.redis.follow import Bell
from wxtoken_asgi.stores.redis.scripts import Script, script
from wxtoken_asgi.stores.redis.trouble import trouble
from wxtoken_asgi.stores.redis.wire import Wire

MOST_AT_ONCE: Final = 500
"""A larger batch takes several scripts, so that none keeps the server for long."""

MOST_NEWS: Final = 5_000
"""Whoever has missed more reads everything."""

STEP_TRIES: Final = 3

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class _Lines:
    """The connections of one event loop, and what was heard over them."""

    def __init__(self, place: Place, clock: Clock, bell: str) -> None:
        self.evidence = Evidence(clock)
        self.wire = Wire(place.dial, self.evidence.forget)
        self.bell = Bell(place.dial, bell, place.name)
        self.known = ("", 0)

    async def close(self) -> None:
        await self.bell.close()
        await self.wire.drop()


class RedisStore(Store):
    """The records of many hosts, in Redis or Valkey.

    Args:
        url: the server's address; `wxtoken_asgi.stores.redis.address` has the spellings.
        client: or a `redis.asyncio.Redis` that says where the server is; connections are made as it makes
            its own, and it is neither used nor closed.
        namespace: the first part of all keys: letters, digits, `_`, `-`, `.`.
        clock: this machine's clocks, which tell when the server's steps.

    Raises:
        ConfigError: the address or the namespace is wrong.
    """

    shared = True
    news_s = 1.0

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        namespace: str = "wxtoken",
        clock: Clock | None = None,
    ) -> None:
        if (url is None) == (client is None):
            raise ConfigError("store: RedisStore takes either an address or a client")
        if not _NAMESPACE.fullmatch(namespace):
            raise ConfigError("store: namespace must be 1-64 letters, digits, '_', '-' or '.'")
        self._place = place_of_client(client) if url is None else place_of(url)
        self._clock = clock or Clock()
        self._prefix = f"{{{namespace}}}:"
        self._keys = tuple(self._prefix + name for name in ("meta", "due", "news", "bell"))
        self._scripts: dict[str, Script] = {}
        self._lines: dict[tuple[int, asyncio.AbstractEventLoop], _Lines] = {}

    def __repr__(self) -> str:
        return f"<RedisStore at {self._place.name}>"

    async def open(self) -> None:
        """Make sure that the server answers, and that its records can be read."""
        try:
            await self._ask("changes", most=0)
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of this event loop's connections."""
        lines = self._lines.pop((os.getpid(), _loop()), None)
        if lines is not None:
            await lines.close()

    async def read(self, credentials: Sequence[Credential]) -> list[Record]:
        """See `Store.read`."""
        answers = await self._each("read", credentials, [])
        return _records(credentials, answers)

    async def claim(self, claims: Sequence[Claim], *, owner: str, lease_s: float) -> list[Claimed]:
        """See `Store.claim`."""
        questions = [codec.of_claim(claim) for claim in claims]
        credentials = [claim.credential for claim in claims]
        answers = await self._each("claim", credentials, questions, owner=owner, lease=codec.micros(lease_s))
        return [codec.to_claimed(claim, answer) for claim, answer in zip(claims, answers, strict=True)]

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See `Store.commit`."""
        credentials = [commit.credential for commit in commits]
        answers = await self._each("commit", credentials, [codec.of_commit(commit) for commit in commits])
        return [codec.to_committed(*each) for each in zip(credentials, answers, strict=True)]

    async def fail(self, fails: Sequence[Fail]) -> list[Record]:
        """See `Store.fail`."""
        credentials = [fail.credential for fail in fails]
        return _records(
            credentials, await self._each("fail", credentials, [codec.of_fail(fail) for fail in fails])
        )

    async def restore(self, records: Sequence[Record]) -> list[Record]:
        """See `Store.restore`."""
        credentials = [record.credential for record in records]
        questions = [codec.of_record(record) for record in records]
        return _records(credentials, await self._each("restore", credentials, questions))

    async def supply(self, supplies: Sequence[Supply]) -> list[Record]:
        """See `Store.supply`."""
        credentials = [supply.credential for supply in supplies]
        questions = [codec.of_supply(supply) for supply in supplies]
        return _records(credentials, await self._each("supply", credentials, questions))

    async def remove(self, credentials: Sequence[Credential]) -> None:
        """See `Store.remove`."""
        await self._each("remove", credentials, [])

    async def due(self, limit: int) -> Due:
        """See `Store.due`."""
        next_in, names = await self._ask("due", limit=limit)
        found = tuple(codec.named(name) for name in names)
        return Due(found, None if next_in is False else codec.seconds(next_in))

    async def changes(self, cursor: str, wait_s: float) -> Changes:
        """See `Store.changes`."""
        end = anyio.current_time() + wait_s
        while True:
            changes, mute = await self._since(cursor)
            left_s = end - anyio.current_time()
            if not cursor or changes.cursor != cursor or left_s <= 0:
                return changes
            await self._here().bell.wait(_point(cursor)[1], left_s, mute=mute)

    async def _since(self, cursor: str) -> tuple[Changes, bool]:
        names, mute = await self._ask("changes", most=MOST_NEWS, cursor=_point(cursor) if cursor else None)
        found = None if names is False else tuple(codec.named(name) for name in names)
        epoch, seq = self._here().known
        return Changes(f"{epoch}-{seq}", found), bool(mute)

    # asking

    async def _each(
        self, operation: str, credentials: Sequence[Credential], questions: Sequence[str], **call: Any
    ) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(credentials), MOST_AT_ONCE):
            part = slice(start, start + MOST_AT_ONCE)
            keys = [f"{self._prefix}r:{codec.name_of(credential)}" for credential in credentials[part]]
            answers.extend(await self._ask(operation, keys, questions[part], **call))
        return answers

    async def _ask(
        self, operation: str, keys: Sequence[str] = (), questions: Sequence[str] = (), **call: Any
    ) -> Any:
        """The answer of an operation's script.

        Raises:
            StoreError, StoreFormatError: there is none.
        """
        lines = self._here()
        call |= {"format": str(FORMAT), "fresh": uuid.uuid4().hex, "prefix": f"{self._prefix}r:"}
        for _ in range(STEP_TRIES):
            sent = self._clock.moment()

            def words() -> tuple[str | int, ...]:
                nonlocal sent
                sent = self._clock.moment()
                told = lines.evidence.say() | {"epoch": lines.known[0], "seq": lines.known[1]}
                return (len(self._keys) + len(keys), *self._keys, *keys, codec.pack(call | told), *questions)

            state, raw, offset, *rest = await self._run(lines.wire, operation, words)
            if state == b"done":
                lines.evidence.hear(raw, offset, sent)
                epoch, seq, answer = rest
                lines.known = (epoch.decode(), seq)
                return json.loads(answer)
            lines.evidence.judge(raw, offset, sent)
        msg = f"store: the clock of Redis at {self._place.name} does not go evenly"
        raise StoreError(msg)

    async def _run(self, wire: Wire, operation: str, words: Callable[[], tuple[str | int, ...]]) -> Any:
        if operation not in self._scripts:
            self._scripts[operation] = script(operation)
        text, sha = self._scripts[operation]
        try:
            try:
                return await wire.ask(lambda: ("EVALSHA", sha, *words()))
            except NoScriptError:  # a new server, or one that was told to forget
                return await wire.ask(lambda: ("EVAL", text, *words()))
        except (RedisError, OSError, TimeoutError) as error:
            raise trouble(error, self._place.name) from None

    def _here(self) -> _Lines:
        """The connections of this process and event loop."""
        here = (os.getpid(), _loop())
        lines = self._lines.get(here)
        if lines is None:
            for pid, loop in list(self._lines):
                if pid == here[0] and loop.is_closed():  # a parent's stay: to close them would disturb it
                    del self._lines[pid, loop]
            lines = self._lines[here] = _Lines(self._place, self._clock, self._keys[3])
        return lines


def _records(credentials: Sequence[Credential], answers: Sequence[Any]) -> list[Record]:
    pairs = zip(credentials, answers, strict=True)
    return [codec.to_record(credential, answer) for credential, answer in pairs]


def _point(cursor: str) -> tuple[str, int]:
    """Epoch and number of a cursor; of a foreign one, what no store has."""
    epoch, _, seq = cursor.rpartition("-")
    return (epoch, int(seq)) if seq.isascii() and seq.isdecimal() else ("", 0)


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        msg = "store: Redis works on asyncio only; run on asyncio, or write 'sqlite:///path'"
        raise ConfigError(msg) from None
