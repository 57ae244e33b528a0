"""The service as a whole: any requests, singly and at once, on a WeChat that fails now and then."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import anyio
from starlette._utils import get_route_path

from wxtoken_asgi import Account, WxTokenMiddleware
from wxtoken_asgi.access import Access, Refused
from wxtoken_asgi.clients import READ, REFRESH
from wxtoken_asgi.door import LONGEST_QUERY
from wxtoken_asgi.hooks import TokenEvent

from .backends import in_virtual_time
from .chance import often
from .headers import CLIENTS
from .requests import Asked, asked
from .tally import UNDOCUMENTED, BrokenError, Target, must
from support.center import scope_of
from support.described import described
from support.world import SECRETS, World

TOKEN: Final = "/token/{app}"
CREDENTIALS: Final = frozenset({TOKEN, "/ticket/{app}"})
HANGS_S: Final = 120.0
READ_S: Final = 5.0
REFRESH_S: Final = 12.0
BODY_S: Final = 5.0
TRIED_S: Final = 900.0
"""By then whatever WeChat has refused is tried again (a day's quota: after 780 s)."""

PAUSES_S: Final = (*(0.0, 0.3, 2.0, 5.0, 12.0) * 3, 60.0, 300.0, 1800.0, 7300.0)

FAULTS: Final = (
    *({"kind": "errcode", "errcode": code} for code in (-1, 40001, 40013, 40125, 40164, 42001, 45009, 45011)),
    *({"kind": kind} for kind in ("garbage", "empty", "half", "hang", "reset", "status")),
    *({"kind": "slow", "seconds": seconds} for seconds in (0.5, 4.0, 9.0, 20.0)),
)


@dataclass(slots=True)
class Done:
    """What came of a request.

    Attributes:
        sent: the messages that the server got.
        heard: how often it was asked for a part of the body.
        passed: the arguments with which the wrapped app was called.
        took_s: how long it took, waits of the caller's own left out.
        waited_s: how long it waited for the caller.
        cut: the server gave up.
        template: the path of the description that was asked for; None: there is none.
        app: the `{app}` in it.
    """

    sent: list[dict[str, Any]] = field(default_factory=list)
    heard: int = 0
    passed: list[tuple[Any, ...]] = field(default_factory=list)
    took_s: float = 0.0
    waited_s: float = 0.0
    cut: bool = False
    template: str | None = None
    app: str = ""

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return self.sent[0]["headers"]

    @property
    def body(self) -> bytes:
        return b"".join(part.get("body", b"") for part in self.sent[1:])


class Brittle(OSError):
    """The connection is broken."""


class Service:
    """A service with a WeChat behind it, and what must hold for each of its answers.

    Args:
        rng: draws how it is set up.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.world = World(seed=rng.randint(0, 9))
        self.values: list[str] = []
        self.spoiled = self.disturbed = False
        self.guest = often(rng, 0.3)
        self.prefix = "" if self.guest else rng.choice(("", "/wx", "/wx/中"))
        self.wraps = self.guest or (bool(self.prefix) and often(rng, 0.5))
        self.opened = often(rng, 0.8)
        self.domains = rng.choice(((), (), ("a.example", "*.example.com")))
        self.rules: dict[str, Any] = {
            "trusted": rng.choice((("127.0.0.0/8", "::1"), ("127.0.0.0/8", "10.0.0.0/8"))),
            "trusted_proxies": rng.choice(((), ("192.0.2.1",))),
            "hosts": rng.choice(((), ("tokens.lan",))),
            "clients": rng.choice(((), CLIENTS)),
        }
        self.pages_open = often(rng, 0.7)
        self.with_ticket = often(rng, 0.3)
        self.tokens = self.world.manager(*self._accounts(), on_token=self._hear, on_ticket=self._hear)
        self.app = WxTokenMiddleware(
            self._behind if self.wraps else None,
            self.tokens,
            prefix=self.prefix,
            js_config_ticket=self.with_ticket,
            js_config_open=self.pages_open,
            **self.rules,
        )
        self._reference = Access(**self.rules, accounts=self.tokens.accounts)
        self._calls: dict[int, Done] = {}

    def _accounts(self) -> list[Account]:
        world, tickets = self.world, self.rng.choice(((), ("jsapi",)))
        options: dict[str, Any] = {"js_domains": self.domains, "tickets": tickets}
        return [world.account("alpha", **options), world.account("beta", **options), world.account("mini")]

    async def _hear(self, event: TokenEvent) -> None:
        self.values.append(event.value)

    async def _behind(self, scope: Any, receive: Any, send: Any) -> None:
        """The app that we wrap."""
        self._calls[id(scope)].passed.append((scope, receive, send))

    # one request

    async def ask(self, request: Asked) -> None:
        """Send it, and judge what comes of it."""
        done = Done()
        self._calls[id(request.scope)] = done
        before = {key: _copied(value) for key, value in request.scope.items()}
        await self._send(request, done)
        del self._calls[id(request.scope)]
        given = (self._setting(), request)
        must(request.scope == before, "the scope is as it was", *given)
        if done.cut:
            return
        place = self._place(request.scope)
        if place is None and self.wraps:
            must(len(done.passed) == 1 and not done.sent, "the app gets what is not ours, once", *given)
            return
        must(not done.passed, "the app does not get what is ours", *given)
        if request.scope["type"] == "websocket":
            must([message["type"] for message in done.sent] == ["websocket.close"], "it is closed", *given)
        elif request.breaks or (not done.sent and self._gone(request, done)):
            return
        else:
            done.template, done.app = place or (None, "")
            self._judge(request, done, given)

    async def _send(self, request: Asked, done: Done) -> None:
        script = iter(request.messages)

        async def receive() -> dict[str, Any]:
            done.heard += 1
            if request.scope["type"] == "websocket":
                return {"type": "websocket.connect"}
            wait, message = next(script, (0.0, None))
            done.waited_s += wait
            await anyio.sleep(wait)
            if message is None and request.after == "silence":
                done.waited_s += BODY_S
                await anyio.sleep_forever()
            return message or {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if request.breaks:
                raise Brittle("the connection is broken")
            done.sent.append(message)

        begun = anyio.current_time()
        try:
            with anyio.fail_after(HANGS_S), anyio.move_on_after(request.cut_s or HANGS_S) as limit:
                await self.app(request.scope, receive, send)
                done.took_s = anyio.current_time() - begun - done.waited_s
        except Brittle:
            return
        except TimeoutError:
            raise BrokenError("an answer comes in time", (self._setting(), request)) from None
        done.cut = limit.cancelled_caught
        must(not done.cut or request.cut_s is not None, "an answer comes in time", self._setting(), request)
        for message in (*done.passed,):
            same = message[0] is request.scope and message[1] is receive and message[2] is send
            must(same, "the app gets the same objects", self._setting(), request)

    def _gone(self, request: Asked, done: Done) -> bool:
        """Whether the caller went away in its body, which is not answered."""
        return (
            request.scope["method"] == "PUT"
            and request.after == "gone"
            and done.heard > len(request.messages)
        )

    def _place(self, scope: dict[str, Any]) -> tuple[str | None, str] | None:
        """The template that is asked for and its `{app}`, as the pages say it; None: it is not ours."""
        if scope["type"] != "http":
            return None
        path = get_route_path(scope)
        prefix = re.escape(self.prefix)
        found = re.fullmatch(rf"{prefix}/(token|ticket|js-config)/([^/]+)/?", path, re.DOTALL)
        template = f"/{found[1]}/{{app}}" if found else None
        if self.guest:
            mine = found and found[2] in self.tokens.accounts.apps
            return (
                (template, found[2])
                if mine and (template, scope["method"]) in described().operations
                else None
            )
        fixed = re.fullmatch(rf"{prefix}(/health/(live|ready))/?", path)
        if fixed:
            return fixed[1], ""
        return (template, found[2]) if found else None

    # what must hold

    def _judge(self, request: Asked, done: Done, given: tuple[object, ...]) -> None:
        method, parts = request.scope["method"], done.sent[1:]
        types = [message["type"] for message in done.sent]
        must(types == ["http.response.start", *["http.response.body"] * len(parts)], "one answer", *given)
        must(parts and not parts[-1].get("more_body"), "it ends", *given)
        wrong = described().complaint(method, done.template, done.status, done.headers, done.body)
        if wrong is not None:
            raise BrokenError(wrong, given, UNDOCUMENTED)
        self._trust(request, done, given)
        self._in_time(method, done, given)
        if done.status == 200 and method == "GET" and done.template in CREDENTIALS:
            self._live(request, done, given)

    def _trust(self, request: Asked, done: Done, given: tuple[object, ...]) -> None:
        refused = self._refused(request, done)
        said = done.body + b"".join(value for _, value in done.headers)
        told = [value for value in (*SECRETS.values(), *self.values) if value.encode() in said]
        must(not told or not refused, "a stranger hears no secret", *given)
        must(not set(told) & set(SECRETS.values()), "nobody hears an AppSecret", *given)
        if done.template not in CREDENTIALS:
            return
        cors = [name for name, _ in done.headers if name.startswith(b"access-control")]
        must(not cors, "no page reads tokens", *given)
        strangers = {401, 403, 414, 429, 431}
        must(
            (done.status in strangers) == refused or done.status in {405, 429}, "401 is for strangers", *given
        )
        must(not refused or not done.heard, "a stranger's body is not read", *given)

    def _refused(self, request: Asked, done: Done) -> bool:
        """Whether the rules, asked beside the service, have nothing for this caller."""
        judged = self._reference.judge(request.scope)
        if isinstance(judged, Refused) or len(request.scope["query_string"]) > LONGEST_QUERY:
            return True
        right = REFRESH if request.scope["method"] == "PUT" else READ
        return isinstance(judged.allows(right, done.app), Refused)

    def _in_time(self, method: str, done: Done, given: tuple[object, ...]) -> None:
        """Whoever reads where no loop runs may renew what is due, and then wait for a first value."""
        reads = READ_S * (1 if self.opened else 2) * (2 if self.with_ticket else 1)
        most = REFRESH_S if method == "PUT" else reads
        must(done.took_s <= most + 0.5, "it is answered in time", done.took_s, *given)

    def _live(self, request: Asked, done: Done, given: tuple[object, ...]) -> None:
        """What is handed out works, as far as nobody has killed it behind our back."""
        if self.spoiled or b"json" in request.scope["query_string"]:
            return
        value, sandbox = done.body.decode(), self.world.sandbox
        if done.template == TOKEN:
            must(sandbox.accepts(value), "a token that is handed out works", *given)
        elif (
            self.opened and not self.disturbed
        ):  # a ticket's end is an estimate, which WeChat's answers correct
            must(sandbox.accepts_ticket(value), "a ticket that is handed out works", *given)

    def _setting(self) -> dict[str, Any]:
        options = {
            name: getattr(self, name) for name in ("guest", "prefix", "wraps", "opened", "with_ticket")
        }
        return options | self.rules

    # a case

    async def step(self) -> int:
        """A request, several at once, some time, or trouble at WeChat's; how many requests there were."""
        rng = self.rng
        match rng.randint(0, 59):
            case 0 | 1:
                return await self._at_once(rng.randint(2, 9))
            case 2 | 3:
                await anyio.sleep(rng.choice(PAUSES_S))
            case 4:
                self._disturb()
            case _:
                await self.ask(asked(rng, self.prefix, self.values))
                return 1
        return 0

    async def _at_once(self, count: int) -> int:
        requests = [asked(self.rng, self.prefix, self.values) for _ in range(count)]
        try:
            async with anyio.create_task_group() as group:
                for request in requests:
                    group.start_soon(self.ask, request)
        except BaseExceptionGroup as several:
            raise _first(several) from several
        return count

    def _disturb(self) -> None:
        rng, sandbox = self.rng, self.world.sandbox
        self.disturbed = True
        if self.values and often(rng, 0.3):
            self.spoiled = sandbox.revoke(rng.choice(self.values)) or self.spoiled
        elif often(rng, 0.3):
            sandbox.heal()
        else:
            fault = rng.choice(FAULTS)
            before = fault["kind"] == "errcode" or often(rng, 0.5)  # who says no has issued nothing
            sandbox.fail(times=rng.choice((1, 1, 2, 5, None)), before=before, **fault)

    async def recover(self) -> None:
        """WeChat is well again: so is the service, in a while."""
        self.world.sandbox.heal()
        await anyio.sleep(TRIED_S if self.disturbed else 0.0)
        for name in ("alpha", "beta"):
            path = f"{self.prefix}/token/{name}"
            status = await self._plain("PUT", path)
            must(status in {200, 429}, "all is well again", self._setting(), path, status)
            must(await self._plain("GET", path) == 200, "all is well again", self._setting(), path)
            if status == 200 or not self.spoiled:
                await self._reads_a_good_one(path)

    async def _plain(self, method: str, path: str) -> int:
        statuses: list[int] = []
        await self.app(scope_of(method, path), _empty, _noting(statuses))
        return statuses[0]

    async def _reads_a_good_one(self, path: str) -> None:
        """Whatever was done to the token before, this one is new, or nobody has touched it."""
        spoiled, self.spoiled = self.spoiled, False
        await self.ask(Asked(scope_of("GET", path)))
        self.spoiled = spoiled


async def _empty() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def _noting(statuses: list[int]) -> Callable[[dict[str, Any]], Any]:
    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    return send


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


def _first(several: BaseExceptionGroup[Any]) -> BaseException:
    inner = several.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def play(rng: Random, steps: int) -> int:
    """One case: a service, and so many steps."""
    service, requests = Service(rng), 0
    async with AsyncExitStack() as stack:
        if service.opened:
            await stack.enter_async_context(service.tokens)
        for _ in range(steps):
            requests += await service.step()
        await service.recover()
    return requests


def case(rng: Random, steps: int) -> int:
    """On asyncio mostly, and on trio sometimes."""
    return in_virtual_time(play, rng, steps)


TARGET: Final = Target("http", case, 200)
