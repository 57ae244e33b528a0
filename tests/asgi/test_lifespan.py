"""The lifespan, message by message: what the server hears, when the manager opens and closes, the log."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette

from wxtoken_asgi import lifespan
from wxtoken_asgi.errors import ConfigError, StoreError, WrongLoop
from wxtoken_asgi.lifespan import run_lifespan

App = Callable[..., Awaitable[None]]
OPEN = ["startup", "open"]
CLOSE = ["closing", "closed"]
SERVED_ALONE = [*OPEN, "startup.complete", "shutdown", "red", *CLOSE, "shutdown.complete"]


class Boom(Exception):
    pass


class Server:
    """A server's two channels, writing down what passes; shutdown comes once a verdict on the start is in."""

    def __init__(self, log: list[str], *, stops: bool = True) -> None:
        self.log = log
        self.stops = stops
        self.scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self.failures: list[str] = []
        self._to_come = ["startup", "shutdown"]
        self._started = anyio.Event()

    async def receive(self):
        if len(self._to_come) == 1 and self.stops:
            await self._started.wait()
        elif len(self._to_come) < 2:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        self.log.append(self._to_come[0])
        return {"type": f"lifespan.{self._to_come.pop(0)}"}

    async def send(self, message):
        await anyio.lowlevel.checkpoint()
        self.log.append(message["type"].removeprefix("lifespan."))
        if "message" in message:
            self.failures.append(message["message"])
        if message["type"].startswith("lifespan.startup."):
            self._started.set()


class Scripted(Server):
    """Says what it is given to say, whatever it hears."""

    def __init__(self, *words: str) -> None:
        super().__init__([])
        self._to_come = [*words]

    async def receive(self):
        await anyio.lowlevel.checkpoint()
        self.log.append(self._to_come[0])
        return message(self._to_come.pop(0))


class Manager:
    """Owns a task group as the real one does, so an error that crosses it becomes a group."""

    def __init__(self, log: list[str], *, opening=None, closing=None, pauses: int = 0) -> None:
        self.log = log
        self.opening = opening
        self.closing = closing
        self.pauses = pauses

    async def __aenter__(self):
        self.log.append("open")
        await anyio.lowlevel.checkpoint()
        if self.opening is not None:
            raise self.opening
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(anyio.sleep_forever)
        return self

    async def __aexit__(self, *exc_info):
        self.log.append("closing")
        with anyio.CancelScope(shield=True):
            for _ in range(self.pauses):
                await anyio.lowlevel.checkpoint()
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(*exc_info)
        finally:
            self.log.append("closed")
            if self.closing is not None:
                raise self.closing


@dataclass
class Heard:
    log: list[str]
    failures: list[str]
    raised: BaseException | None
    scope: dict = field(default_factory=dict)


async def listen(app: App | None, *, server: Server | None = None, **options) -> Heard:
    server = server or Server([])
    options.setdefault("manager", Manager(server.log))
    raised = None
    with anyio.fail_after(5):
        try:
            await run_lifespan(
                app,
                server.scope,
                server.receive,
                server.send,
                on_shutdown=lambda: server.log.append("red"),
                **options,
            )
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001
            raised = error
    return Heard(server.log, server.failures, raised, server.scope)


@pytest.fixture
def levels(caplog):
    """The levels of our own records so far, with a + where a traceback is attached."""
    caplog.set_level(logging.DEBUG, "wxtoken_asgi")
    return lambda: [
        record.levelname + ("+" if record.exc_info else "")
        for record in caplog.records
        if record.name == "wxtoken_asgi"
    ]


def message(kind: str, **more):
    return {"type": f"lifespan.{kind}", **more}


# The 8 rows: {start, body, shutdown} x {ok, fails}.


def well_behaved(fails: str) -> App:
    async def app(scope, receive, send):
        assert (await receive())["type"] == "lifespan.startup"
        if "start" in fails:
            await send(message("startup.failed", message="no database"))
            raise Boom("no database")
        await send(message("startup.complete"))
        if "body" in fails:
            raise Boom("body")
        assert (await receive())["type"] == "lifespan.shutdown"
        if "shutdown" in fails:
            await send(message("shutdown.failed", message="disk full"))
            raise Boom("disk full")
        await send(message("shutdown.complete"))

    return app


REFUSED = ([*OPEN, *CLOSE, "startup.failed"], ["no database"], None, [])
DIED = (
    [*OPEN, "startup.complete", "shutdown", "red", *CLOSE, "shutdown.failed"],
    ["the wrapped app's lifespan raised Boom: body"],
    "body",
    ["ERROR+"],
)
EIGHT = {
    "": (SERVED_ALONE, [], None, []),
    "shutdown": (
        [*OPEN, "startup.complete", "shutdown", "red", *CLOSE, "shutdown.failed"],
        ["disk full"],
        "disk full",
        [],
    ),
    "body": DIED,
    "body shutdown": DIED,
    "start": REFUSED,
    "start shutdown": REFUSED,
    "start body": REFUSED,
    "start body shutdown": REFUSED,
}


@pytest.mark.parametrize("fails", EIGHT, ids=lambda fails: fails or "all well")
async def test_each_way_through_a_lifespan_gives_its_exact_log(fails, levels):
    log, failures, raised, logged = EIGHT[fails]
    heard = await listen(well_behaved(fails))
    assert heard.log == log
    assert heard.failures == failures
    assert (heard.raised and str(heard.raised)) == raised
    assert type(heard.raised) in (Boom, type(None))
    assert levels() == logged


# Apps that know no lifespan, and apps whose start really crashes.


async def returns_silently(scope, receive, send):
    return


async def reads_then_returns(scope, receive, send):
    await receive()


async def django_like(scope, receive, send):
    kind = scope["type"]
    text = f"Django can only handle ASGI/HTTP connections, not {kind}."
    raise ValueError(text)


async def asserts_http(scope, receive, send):
    assert scope["type"] == "http"


async def checks_a_local_name(scope, receive, send):
    kinds = {"http": 1}
    if kinds.get(scope["type"]) is None:
        raise RuntimeError(scope["asgi"]["version"])


async def not_implemented(scope, receive, send):
    raise NotImplementedError


async def wants_a_path(scope, receive, send):
    await send({"type": "http.response.start", "path": scope["path"]})


async def dispatches(scope, receive, send):
    await {"http": returns_silently}[scope["type"]](scope, receive, send)


@pytest.mark.parametrize("app", [returns_silently, reads_then_returns])
async def test_an_app_that_says_nothing_is_served_without_a_lifespan(app, levels):
    heard = await listen(app)
    assert (heard.log, heard.raised) == (SERVED_ALONE, None)
    assert levels() == ["INFO"]


@pytest.mark.parametrize(
    "app",
    [django_like, asserts_http, checks_a_local_name, not_implemented, wants_a_path, dispatches],
)
async def test_an_app_that_rejects_the_scope_is_served_without_a_lifespan(app, levels, caplog):
    heard = await listen(app)
    assert (heard.log, heard.raised) == (SERVED_ALONE, None)
    assert levels() == ["INFO", "DEBUG"]
    assert "Error" in caplog.messages[-1]  # the exception's repr


async def crashes(scope, receive, send):
    raise ValueError("DATABASE_URL is empty")


async def crashes_otherwise(scope, receive, send):
    raise OSError("connection refused")


async def misses_a_setting(scope, receive, send):
    {}["DATABASE_URL"]


async def raises_a_bare_key_error(scope, receive, send):
    raise KeyError


async def reads_then_rejects(scope, receive, send):
    await receive()
    assert scope["type"] == "http"


async def is_no_asgi_app(scope):
    raise AssertionError("never called")


async def speaks_then_rejects(scope, receive, send):
    await send(message("startup.progress"))
    raise NotImplementedError


@pytest.mark.parametrize(
    "app",
    [
        crashes,
        crashes_otherwise,
        misses_a_setting,
        raises_a_bare_key_error,
        reads_then_rejects,
        is_no_asgi_app,
    ],
)
async def test_a_start_that_crashes_is_not_taken_for_a_missing_lifespan(app, levels, caplog):
    heard = await listen(app)
    assert (heard.log, heard.raised) == (SERVED_ALONE, None)
    assert levels() == ["WARNING+"]
    assert "Traceback" in caplog.text


async def test_an_app_that_spoke_before_it_raised_knows_a_lifespan(levels):
    heard = await listen(speaks_then_rejects)
    assert heard.log == [*OPEN, "startup.progress", *SERVED_ALONE[2:]]
    assert levels() == ["WARNING+"]


# Apps that refuse to start, in all the ways that there are.


async def refuses_and_waits(scope, receive, send):
    """Quart's way."""
    while True:
        event = await receive()
        assert event["type"] == "lifespan.startup"
        await send(message("startup.failed", message="no database"))


async def refuses_and_returns(scope, receive, send):
    await receive()
    await send(message("startup.failed", message="no database"))


async def refuses_unread(scope, receive, send):
    await send(message("startup.failed", message="no database"))


async def refuses_in_a_task_group(scope, receive, send):
    await receive()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(send, message("startup.failed", message="no database"))


async def refuses_and_swallows(scope, receive, send):
    with contextlib.suppress(Exception):
        await send(message("startup.failed", message="no database"))


async def refuses_and_asks_again(scope, receive, send):
    await refuses_and_swallows(scope, receive, send)
    await receive()


@pytest.mark.parametrize(
    "app",
    [
        refuses_and_waits,
        refuses_and_returns,
        refuses_unread,
        refuses_in_a_task_group,
        refuses_and_swallows,
        refuses_and_asks_again,
    ],
)
async def test_a_refusal_reaches_the_server_once_the_manager_is_closed(app, levels):
    heard = await listen(app)
    assert (heard.log, heard.failures, heard.raised, levels()) == (REFUSED)


async def refuses_and_raises_another(scope, receive, send):
    try:
        await send(message("startup.failed", message="no database"))
    finally:
        raise Boom("on the way out")


async def refuses_in_company(scope, receive, send):
    async def fail():
        raise Boom("on the way out")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(refuses_unread, scope, receive, send)
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            await fail()


@pytest.mark.parametrize("app", [refuses_and_raises_another, refuses_in_company])
async def test_what_else_a_refusing_app_raises_is_logged(app, levels, caplog):
    heard = await listen(app)
    assert (heard.log, heard.failures, heard.raised) == REFUSED[:3]
    assert levels() == ["ERROR+"]
    assert "on the way out" in caplog.text


async def test_a_second_word_after_a_refusal_is_dropped_and_leads_the_app_out(levels):
    async def app(scope, receive, send):
        await refuses_and_swallows(scope, receive, send)
        await send(message("startup.complete"))
        raise AssertionError("it should be on its way out")

    heard = await listen(app)
    assert (heard.log, heard.failures, heard.raised) == REFUSED[:3]
    assert levels() == ["WARNING"]


async def refuses_and_stays(scope, receive, send):
    await refuses_and_swallows(scope, receive, send)
    await anyio.sleep_forever()


async def refuses_and_keeps_asking(scope, receive, send):
    await refuses_and_swallows(scope, receive, send)
    while True:
        try:
            await receive()
        except Exception:  # noqa: BLE001
            continue


@pytest.mark.parametrize("app", [refuses_and_stays, refuses_and_keeps_asking])
async def test_a_refusing_app_that_stays_is_cancelled(app, levels, monkeypatch):
    monkeypatch.setattr(lifespan, "_UNWIND_S", 0.01)
    heard = await listen(app)
    assert (heard.log, heard.failures, heard.raised) == REFUSED[:3]
    assert levels() == ["WARNING"]


# Apps that end too early, speak twice, or never end.


async def returns_early(scope, receive, send):
    await receive()
    await send(message("startup.complete"))


async def stops_before_time(scope, receive, send):
    await returns_early(scope, receive, send)
    await send(message("shutdown.complete"))


@pytest.mark.parametrize("app", [returns_early, stops_before_time])
async def test_an_app_that_returns_early_is_served_on(app, levels):
    heard = await listen(app)
    assert (heard.log, heard.raised) == (SERVED_ALONE, None)
    assert levels() == ["INFO"]


async def ends_without_a_verdict(scope, receive, send):
    await returns_early(scope, receive, send)
    await receive()


async def waits_after_its_verdict(scope, receive, send):
    await well_behaved("")(scope, receive, send)
    await receive()


@pytest.mark.parametrize("app", [ends_without_a_verdict, waits_after_its_verdict])
async def test_an_app_that_hears_the_shutdown_is_done_with_or_without_a_word(app, levels):
    heard = await listen(app)
    assert (heard.log, heard.raised, levels()) == (SERVED_ALONE, None, [])


async def stays_after_its_verdict(scope, receive, send):
    await well_behaved("")(scope, receive, send)
    await anyio.sleep_forever()


async def test_an_app_that_stays_after_the_shutdown_is_cancelled(levels, monkeypatch):
    monkeypatch.setattr(lifespan, "_UNWIND_S", 0.01)
    heard = await listen(stays_after_its_verdict)
    assert (heard.log, heard.raised, levels()) == (SERVED_ALONE, None, ["WARNING"])


async def repeats_its_verdict(scope, receive, send):
    await well_behaved("")(scope, receive, send)
    while True:
        await send(message("shutdown.complete"))


async def test_an_app_that_never_stops_talking_is_cancelled(levels, monkeypatch):
    monkeypatch.setattr(lifespan, "_UNWIND_S", 0.01)
    heard = await listen(repeats_its_verdict)
    assert (heard.log, heard.raised, set(levels())) == (SERVED_ALONE, None, {"WARNING"})


async def starts_twice(scope, receive, send):
    await receive()
    await send(message("startup.complete"))
    await send(message("startup.complete"))
    await receive()
    await send(message("shutdown.complete"))


async def refuses_after_its_start(scope, receive, send):
    await receive()
    await send(message("startup.complete"))
    await send(message("startup.failed", message="too late"))
    await receive()
    await send(message("shutdown.complete"))


async def stops_twice(scope, receive, send):
    await well_behaved("")(scope, receive, send)
    await send(message("shutdown.failed", message="too late"))


async def stops_unstarted(scope, receive, send):
    await send(message("shutdown.complete"))
    await well_behaved("")(scope, receive, send)


@pytest.mark.parametrize("app", [starts_twice, refuses_after_its_start, stops_twice, stops_unstarted])
async def test_the_server_hears_one_verdict_of_each_sort(app, levels):
    heard = await listen(app)
    assert (heard.log, heard.failures, heard.raised) == (SERVED_ALONE, [], None)
    assert levels() == ["WARNING"]


async def dies_in_the_shutdown(scope, receive, send):
    await returns_early(scope, receive, send)
    await receive()
    raise Boom("disk full")


async def dies_after_its_verdict(scope, receive, send):
    await well_behaved("")(scope, receive, send)
    raise Boom("disk full")


async def test_an_app_that_dies_in_the_shutdown_is_told_of_and_raised_as_it_is(levels):
    heard = await listen(dies_in_the_shutdown)
    assert heard.log == DIED[0]
    assert heard.failures == ["the wrapped app's lifespan raised Boom: disk full"]
    assert type(heard.raised) is Boom
    assert levels() == []  # the server gets it at once, and logs it


async def test_a_verdict_stands_whatever_is_raised_after_it(levels):
    heard = await listen(dies_after_its_verdict)
    assert heard.log == SERVED_ALONE
    assert type(heard.raised) is Boom
    assert levels() == []


async def dies_in_a_task_group(scope, receive, send):
    await returns_early(scope, receive, send)
    async with anyio.create_task_group():
        raise Boom("body")


async def test_an_apps_own_group_is_raised_as_it_is(levels):
    heard = await listen(dies_in_a_task_group)
    assert heard.log == DIED[0]
    assert isinstance(heard.raised, ExceptionGroup)
    assert isinstance(heard.raised.exceptions[0], Boom)
    assert levels() == ["ERROR+"]


async def test_unknown_messages_are_the_servers_to_judge():
    async def app(scope, receive, send):
        await send(message("startup.progress"))
        await well_behaved("")(scope, receive, send)

    heard = await listen(app)
    assert heard.log == [*OPEN, "startup.progress", *SERVED_ALONE[2:]]


# The manager's own troubles.


@pytest.mark.parametrize(
    ("opening", "text", "logged"),
    [
        (ConfigError("account alpha: secret is empty"), "account alpha: secret is empty", []),
        (StoreError("/var/lib/x.db: read-only"), "/var/lib/x.db: read-only", []),
        (WrongLoop("open in another loop"), "open in another loop", []),
        (
            ZeroDivisionError("redis://:password@host"),
            "the token manager could not be opened: ZeroDivisionError, see the log",
            ["ERROR+"],
        ),
    ],
    ids=["config", "store", "loop", "bug"],
)
async def test_a_manager_that_does_not_open_stops_the_start(opening, text, logged, levels):
    server = Server([])
    heard = await listen(well_behaved(""), server=server, manager=Manager(server.log, opening=opening))
    assert (heard.log, heard.failures, heard.raised) == ([*OPEN, "startup.failed"], [text], None)
    assert heard.scope["state"] == {}
    assert levels() == logged


async def test_the_last_verdict_waits_for_a_slow_manager():
    server = Server([])
    heard = await listen(None, server=server, manager=Manager(server.log, pauses=50))
    assert heard.log == SERVED_ALONE


CLOSING_FAILED = "the token manager did not close cleanly: ZeroDivisionError, see the log"
NOT_CLOSED = {
    "": (DIED[0], [CLOSING_FAILED], None, ["ERROR+"]),
    "shutdown": (DIED[0], ["disk full"], "disk full", ["ERROR+"]),
    "body": (*DIED[:3], ["ERROR+", "ERROR+"]),
    "start": (*REFUSED[:3], ["ERROR+"]),
}


@pytest.mark.parametrize("fails", NOT_CLOSED, ids=lambda fails: fails or "all well")
async def test_a_manager_that_fails_to_close_spoils_only_a_good_end(fails, levels):
    log, failures, raised, logged = NOT_CLOSED[fails]
    server = Server([])
    manager = Manager(server.log, closing=ZeroDivisionError())
    heard = await listen(well_behaved(fails), server=server, manager=manager)
    assert (heard.log, heard.failures) == (log, failures)
    assert (heard.raised and str(heard.raised)) == raised
    assert levels() == logged


async def test_a_manager_that_fails_to_close_is_told_of_when_the_app_said_nothing():
    server = Server([])
    heard = await listen(None, server=server, manager=Manager(server.log, closing=ZeroDivisionError()))
    assert (heard.log, heard.failures, heard.raised) == (DIED[0], [CLOSING_FAILED], None)


# The scope, the state, and us inside ourselves.


async def test_without_an_app_the_server_is_answered_all_the_same(levels):
    heard = await listen(None)
    assert (heard.log, heard.raised, levels()) == (SERVED_ALONE, None, [])


async def test_the_app_gets_the_servers_scope_with_our_entry_in_its_state():
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, dict(scope["state"])))
        await well_behaved("")(scope, receive, send)

    server = Server([])
    server.scope["state"]["theirs"] = 1
    manager = Manager(server.log)
    await listen(app, server=server, manager=manager, state_key="tokens")
    assert seen[0][0] is server.scope
    assert seen[0][1] == {"theirs": 1, "tokens": manager}
    assert set(server.scope) == {"type", "asgi", "state"}


async def test_a_server_without_a_state_is_not_given_one():
    server = Server([])
    del server.scope["state"]
    heard = await listen(well_behaved(""), server=server)
    assert heard.log == SERVED_ALONE
    assert set(heard.scope) == {"type", "asgi"}


async def test_the_default_callback_does_nothing():
    server = Server([])
    await run_lifespan(None, server.scope, server.receive, server.send, manager=Manager(server.log))
    assert server.log == [entry for entry in SERVED_ALONE if entry != "red"]


def nested(app: App, log: list[str]) -> App:
    async def middleware(scope, receive, send):
        await run_lifespan(app, scope, receive, send, manager=Manager(log), state_key="inner")

    return middleware


@pytest.mark.parametrize(
    ("app", "log", "raised", "logged"),
    [
        (
            well_behaved(""),
            [*OPEN, "open", "startup.complete", "shutdown", "red", *CLOSE, *CLOSE, "shutdown.complete"],
            None,
            [],
        ),
        (refuses_and_waits, [*OPEN, "open", *CLOSE, *CLOSE, "startup.failed"], None, []),
        (
            well_behaved("body"),
            [*OPEN, "open", "startup.complete", "shutdown", "red", *CLOSE, *CLOSE, "shutdown.failed"],
            "body",
            ["ERROR+"],
        ),
        (
            django_like,
            [*OPEN, "open", "startup.complete", "shutdown", "red", *CLOSE, *CLOSE, "shutdown.complete"],
            None,
            ["INFO", "DEBUG"],
        ),
    ],
    ids=["all well", "refuses", "dies later", "no lifespan"],
)
async def test_one_inside_another_is_as_good_as_one(app, log, raised, logged, levels):
    server = Server([])
    heard = await listen(nested(app, server.log), server=server)
    assert heard.log == log
    assert (heard.raised and str(heard.raised)) == raised
    assert set(heard.scope["state"]) == {"wxtoken", "inner"}
    assert levels() == logged


async def test_a_starlette_app_that_fails_to_start_is_told_of_with_its_traceback(levels):
    @contextlib.asynccontextmanager
    async def broken(app):
        raise Boom("no database")
        yield

    heard = await listen(Starlette(lifespan=broken))
    assert heard.log == REFUSED[0]
    assert "Boom: no database" in heard.failures[0]
    assert (heard.raised, levels()) == (None, [])


# What passes through unhandled: cancellation, interrupts, the server's own errors.


@pytest.mark.parametrize("pauses", [0, 20])
@pytest.mark.parametrize("app", [None, well_behaved(""), returns_silently], ids=["no app", "app", "silent"])
async def test_a_cancelled_lifespan_closes_the_manager_and_stays_cancelled(app, pauses):
    server = Server([], stops=False)
    ended = []

    async def run():
        try:
            await run_lifespan(
                app,
                server.scope,
                server.receive,
                server.send,
                manager=Manager(server.log, pauses=pauses),
            )
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert server.log == [*OPEN, "startup.complete", *CLOSE]
    assert ended == ["cancelled"]


async def test_a_manager_that_fails_to_close_does_not_swallow_a_cancellation(levels):
    server = Server([], stops=False)
    manager = Manager(server.log, closing=ZeroDivisionError())
    with anyio.move_on_after(0.01) as scope:
        await run_lifespan(None, server.scope, server.receive, server.send, manager=manager)
    assert scope.cancelled_caught
    assert server.log == [*OPEN, "startup.complete", *CLOSE]
    assert levels() == ["ERROR+"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_passes_as_it_is(kind):
    async def app(scope, receive, send):
        raise kind

    heard = await listen(app)
    assert type(heard.raised) is kind
    assert heard.log == [*OPEN, *CLOSE]


@pytest.mark.parametrize(
    ("app", "opening", "log"),
    [
        (well_behaved("start"), None, [*OPEN, *CLOSE]),
        (well_behaved(""), ConfigError("bad"), OPEN),
        (well_behaved("shutdown"), None, [*OPEN, "startup.complete", "shutdown", "red", *CLOSE]),
    ],
    ids=["refusal", "configuration", "shutdown"],
)
async def test_what_the_server_raises_at_a_verdict_is_its_own(app, opening, log):
    """Hypercorn raises out of `send` when it hears of a failure."""

    class Hypercorn(Server):
        async def send(self, message):
            if message["type"].endswith(".failed"):
                raise ConnectionError(message["message"])
            await super().send(message)

    server = Hypercorn([])
    heard = await listen(app, server=server, manager=Manager(server.log, opening=opening))
    assert type(heard.raised) is ConnectionError
    assert heard.log == log


async def test_a_server_that_breaks_off_still_has_the_manager_closed():
    class BrokenOff(Server):
        async def receive(self):
            if len(self._to_come) == 1:
                raise ConnectionError
            return await super().receive()

    heard = await listen(None, server=BrokenOff([]))
    assert type(heard.raised) is ConnectionError
    assert heard.log == [*OPEN, "startup.complete", *CLOSE]


async def test_the_callback_is_called_once_however_often_the_server_says_it():
    async def app(scope, receive, send):
        await returns_early(scope, receive, send)
        await receive()
        await receive()

    heard = await listen(app, server=Scripted("startup", "shutdown", "shutdown"))
    assert heard.log == [*OPEN, "startup.complete", "shutdown", "red", "shutdown", *SERVED_ALONE[5:]]


async def test_messages_after_the_startup_are_waited_for_until_it_is_the_shutdown():
    heard = await listen(None, server=Scripted("startup", "news", "shutdown"))
    assert heard.log == [*OPEN, "startup.complete", "news", *SERVED_ALONE[3:]]
