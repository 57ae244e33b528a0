"""What each claimed path answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from wxtoken_asgi.answers import NO_STORE, TEXT, Answer, answer, answer_of, error_answer, json_answer
from wxtoken_asgi.audit import Audit, request_id
from wxtoken_asgi.bodies import BadBodyError, GoneError, read_report
from wxtoken_asgi.clients import READ, REFRESH
from wxtoken_asgi.door import Door
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.errors import WxTokenError
from wxtoken_asgi.manager import ACCESS_TOKEN, JSAPI_TICKET, TokenManager
from wxtoken_asgi.records import digest
from wxtoken_asgi.routes import Handler, Row
from wxtoken_asgi.shortcut import Shortcut

OK: Final = json_answer(200, {"message": "ok"})
BAD_FORMAT: Final = error_answer(400, "bad_format", "format must be 'text' or 'json'")
NOT_READY: Final = error_answer(503, "not_ready", "not ready", retry_in=1.0)
APPLIED: Final = ((b"preference-applied", b"return=representation"),)


@dataclass(slots=True)
class _Told:
    """What the records are told of a refresh.

    Args:
        account: the account's name, once it is known.
        dead: the value that was reported.
        result: what came of it.
        status: the HTTP status; 0: there was no answer.
    """

    account: str = ""
    dead: str | None = field(default=None, repr=False)
    result: str = ""
    status: int = 0


class Endpoints:
    """Answers requests for credentials and for the health of the service.

    Args:
        tokens: the manager.
        door: who may read and refresh, now.
        audit: hears of reads and refreshes.
        shortcut: is told the answers that it may give from then on.
    """

    def __init__(
        self, tokens: TokenManager, door: Callable[[], Door], audit: Audit, shortcut: Shortcut
    ) -> None:
        self._tokens = tokens
        self._door = door
        self._audit = audit
        self._shortcut = shortcut

    def rows(self, kind: str) -> Row:
        """`GET`, `HEAD` and `PUT` of a kind of credential."""

        async def read(app: str, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
            await self._read(app, kind, scope, send)

        async def refresh(app: str, scope: Scope, receive: Receive, send: Send) -> None:
            await self._refresh(app, kind, scope, receive, send)

        return Row({"GET": read, "HEAD": read, "PUT": refresh})

    @property
    def token(self) -> Row:
        """`{prefix}/token/{app}`."""
        return self.rows(ACCESS_TOKEN)

    @property
    def ticket(self) -> Row:
        """`{prefix}/ticket/{app}`."""
        return self.rows(JSAPI_TICKET)

    def wrong_method(self, word: str, row: Row) -> Handler:
        """405. It is the same for all callers and accounts, so it tells nobody anything."""
        allow = (b"allow", row.allow.encode())
        refused = error_answer(405, "method_not_allowed", f"{word}: use {row.allow}", headers=(allow,))

        async def handler(app: str, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
            await refused.adding(row.headers(app, scope)).send(scope, send)

        return handler

    # GET, HEAD

    async def _read(self, app: str, kind: str, scope: Scope, send: Send) -> None:
        caller = self._door().admit(scope, READ, app, kind)
        if isinstance(caller, Answer):
            await caller.send(scope, send)
            return
        account = app
        try:
            entry = self._tokens.entry(app, kind)
            account = entry.account.name
            held = self._tokens.fresh(entry) or await self._tokens.hold(entry)
            reply = self._value(entry, held, scope)
        except WxTokenError as error:
            reply = answer_of(error)
        self._audit.read(caller, account, kind, reply.code)
        await reply.send(scope, send)

    def _value(self, entry: Entry, held: Held, scope: Scope) -> Answer:
        query = scope["query_string"]
        form = _form(query) if query else "text"
        if form is None:
            return BAD_FORMAT
        return self._json(entry, held) if form == "json" else self._text(entry, held, scope)

    def _text(self, entry: Entry, held: Held, scope: Scope) -> Answer:
        etag = b'"%s"' % digest(entry.account.appid, entry.kind.name, held.value).encode()
        if any(name == b"if-none-match" and _matches(value, etag) for name, value in scope["headers"]):
            return Answer(304, ((b"etag", etag), NO_STORE))
        text = answer(200, TEXT, held.value.encode(), ((b"etag", etag),))
        self._shortcut.put(entry, held, list(text.headers), text.body)
        return text

    def _json(self, entry: Entry, held: Held) -> Answer:
        clock = self._tokens.clock
        kept = entry.kind.policy.may_keep(held.left(clock), held.ask_in(clock))
        return json_answer(200, {entry.kind.field: held.value, "expires_in": max(int(kept), 0)})

    # PUT

    async def _refresh(self, app: str, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._door().admit(scope, REFRESH, app, kind)
        if isinstance(caller, Answer):
            await caller.send(scope, send)
            return
        told = _Told()
        try:
            reply = await self._renewed(app, kind, scope, receive, told)
        except GoneError:
            return
        finally:  # also of a fetch whose caller is cancelled
            self._audit.tell(
                "refresh" if told.dead is None else "report",
                caller,
                account=told.account or app,
                kind=kind,
                result=told.result,
                status=told.status,
                request_id=request_id(scope["headers"]),
            )
        await reply.send(scope, send)

    async def _renewed(self, app: str, kind: str, scope: Scope, receive: Receive, told: _Told) -> Answer:
        """Refresh, and remember what came of it for the records."""
        told.result = "cancelled"
        try:
            told.account = self._tokens.entry(app, kind).account.name
            told.dead = await read_report(receive, self._tokens.entry(app, kind).kind.field)
            reply = await self._refreshed(app, kind, scope, told.dead)
        except WxTokenError as error:
            reply = answer_of(error)
        except BadBodyError as error:
            reply = error_answer(error.status, error.code, str(error))
        except GoneError:
            told.result = "gone"
            raise
        except Exception:
            told.result = "internal_error"
            raise
        told.result, told.status = reply.code, reply.status
        return reply

    async def _refreshed(self, app: str, kind: str, scope: Scope, dead: str | None) -> Answer:
        # While the body came, a reload may have given the name to another account, and taken a right away.
        again = self._door().admit(scope, REFRESH, app, kind)
        if isinstance(again, Answer):
            return again
        entry = self._tokens.entry(app, kind)
        wants_value = _wants_value(scope) and self._door().knows(scope, READ, app, kind) is not None
        if wants_value and _form(scope["query_string"]) is None:
            return BAD_FORMAT
        await self._tokens.refresh(app, kind, dead=dead)
        if not wants_value:
            return OK
        # Without its headers: If-None-Match asks for a 304 on reads only.
        read = {"query_string": scope["query_string"], "headers": ()}
        return self._value(entry, await self._tokens.hold(entry), read).adding(APPLIED)

    # health

    async def live(self, app: str, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """`{prefix}/health/live`: the event loop turns."""
        await json_answer(200, {"status": "ok"}).send(scope, send)

    async def ready(self, app: str, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """`{prefix}/health/ready`: every credential was tried once, and the service is not shutting down."""
        reply = json_answer(200, {"status": "ok"}) if self._tokens.ready else NOT_READY
        await reply.send(scope, send)


def _form(query: bytes) -> str | None:
    """What `?format=` asks for; None if that is unknown."""
    # As text, whatever bytes come: parse_qsl takes nothing but ASCII from bytes, not even "%E4".
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    form = dict(pairs).get("format", "text")
    return form if form in {"text", "json"} else None


def _matches(if_none_match: bytes, etag: bytes) -> bool:
    tags = (tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b","))
    return any(tag in {etag, b"*"} for tag in tags)


def _wants_value(scope: Scope) -> bool:
    """Whether the first `return` among its preferences is `representation` (RFC 7240)."""
    lines = [value for name, value in scope["headers"] if name == b"prefer"]
    for preference in b",".join(lines).lower().split(b","):
        name, _, wish = preference.partition(b";")[0].partition(b"=")
        if name.strip() == b"return":
            return wish.strip().strip(b'"') == b"representation"
    return False
