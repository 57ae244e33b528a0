"""The OpenAPI description and the code say the same: all that is described comes, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import anyio
import httpx
import pytest
from errors_table import ERRORS
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

import wxtoken_asgi
from wxtoken_asgi import WxTokenMiddleware, errors, waiter
from wxtoken_asgi.access import MOST_HEADERS, MOST_WRONG_KEYS
from wxtoken_asgi.bodies import LARGEST_BODY
from wxtoken_asgi.door import LONGEST_QUERY
from wxtoken_asgi.stores.memory import MemoryStore

from support.center import STRANGER, mounted, running
from support.described import NOT_FOUND, OTHER_METHOD, described
from support.world import World

WRONG_KEY = (b"authorization", b"Bearer wrong")
PAGE = "url=https%3A%2F%2Fwww.example.com%2F"
OUTCOMES = sorted(described().outcomes())


def test_it_is_a_valid_openapi_3_1_document():
    document = described().document
    assert document["openapi"].startswith("3.1.")
    validate(document, cls=OpenAPIV31SpecValidator)
    assert document["info"]["version"] == wxtoken_asgi.__version__


def test_all_its_components_are_used():
    document = described().document
    used = set(_references(document))
    for kind, components in document["components"].items():
        for name in components:
            if kind == "securitySchemes":
                continue
            other = kind == "responses" and name in {NOT_FOUND, OTHER_METHOD}
            assert other or f"#/components/{kind}/{name}" in used, name
    assert set(described().others) == {NOT_FOUND, OTHER_METHOD}


def test_a_key_helps_with_everything_but_health_and_preflights_and_is_never_needed_by_the_description():
    document = described().document
    assert document["security"] == [{"Key": []}, {}]
    assert set(document["components"]["securitySchemes"]) == {"Key"}
    scheme = document["components"]["securitySchemes"]["Key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                open_to_all = "health" in path or method == "options"
                assert operation.get("security", "as everywhere") == ([] if open_to_all else "as everywhere")


def _references(node):
    if isinstance(node, dict):
        yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from _references(child)


def test_its_paths_and_methods_are_those_of_the_code():
    service = WxTokenMiddleware(tokens=World().manager())
    rows = {f"/{word}/{{app}}": row for word, row in service._routes._apps.items()} | service._routes._fixed
    code = {(path, method) for path, row in rows.items() for method in row.handlers}
    assert set(described().operations) == code


def test_its_errors_are_those_of_the_table():
    answers = [answer for operation in described().operations.values() for answer in operation.items()]
    answers += [(404, described().others[NOT_FOUND]), (405, described().others[OTHER_METHOD])]
    codes = {(status, code) for status, answer in answers for code in answer.codes}
    assert codes == {(row.status, row.code) for row in ERRORS}
    for status, answer in answers:
        for row in ERRORS:
            if (row.status, row.code) in {(status, code) for code in answer.codes}:
                assert ("retry-after" in answer.headers) == row.retry_after


def test_it_comes_with_the_package():
    program = (
        "import importlib.resources as r; print((r.files('wxtoken_asgi') / 'openapi.json').read_text()[:1])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "{\n"


# each described answer, brought about


class Odd(MemoryStore):
    """A store that can be away, or hold records of another version."""

    away = False
    other_format = False

    async def open(self):
        if self.other_format:
            raise errors.StoreFormatError("the store's records are of another version")
        await super().open()

    async def claim(self, claims, **options):
        if self.away:
            raise errors.StoreError("the store is gone")
        return await super().claim(claims, **options)


class Stage:
    """Brings about one answer of one operation.

    Args:
        path: the operation's path.
        method: its method.
        monkeypatch: pytest's.
    """

    def __init__(self, path, method, monkeypatch):
        self.path, self.method, self.monkeypatch = path, method, monkeypatch
        self.world = World()

    async def ask(self, center, app="alpha", *, query=None, receive=None, peer="127.0.0.1", headers=()):
        """Send the operation's request."""
        query = (PAGE if "js-config" in self.path else "") if query is None else query
        path = self.path.replace("{app}", app)
        options = {"query": query.encode(), "peer": peer, "headers": list(headers), "receive": receive}
        return await center.raw(self.method, path, **options)

    async def once(self, *accounts, app="alpha", manager=None, **options):
        """Ask a service that has just begun."""
        async with running(self.world, *accounts, manager=manager) as center:
            return await self.ask(center, app, **options)

    async def closed(self, **options):
        """Ask a service whose js-config is for clients only."""
        async with running(self.world, js_config_open=False) as center:
            return await self.ask(center, **options)

    async def bring(self, status, code):
        """Bring about this answer."""
        return await getattr(self, code or f"answer_{status}")()

    # no errors

    async def answer_200(self):
        async with running(self.world) as center:
            await anyio.sleep(5)  # ready by then
            return await self.ask(center)

    async def answer_204(self):
        return await self.once()

    async def answer_304(self):
        return await self.once(headers=[(b"if-none-match", b"*")])

    # errors

    async def bad_body(self):
        return await self.once(receive=_body(b"what?"))

    async def bad_format(self):
        return await self.once(query="format=xml", headers=[(b"prefer", b"return=representation")])

    async def bad_key(self):
        return await self.closed(headers=[WRONG_KEY])

    async def too_many_wrong_keys(self):
        async with running(self.world, js_config_open=False) as center:
            for _ in range(MOST_WRONG_KEYS):
                await self.ask(center, headers=[WRONG_KEY])
            return await self.ask(center, headers=[WRONG_KEY])

    async def too_many_headers(self):
        return await self.closed(headers=[(b"x-a", b"b")] * MOST_HEADERS)  # and Host

    async def query_too_long(self):
        return await self.once(query="a" * (LONGEST_QUERY + 1))

    async def bad_url(self):
        return await self.once(query="")

    async def body_timeout(self):
        async def receive():
            await anyio.sleep(6)

        return await self.once(receive=receive)

    async def body_too_large(self):
        return await self.once(receive=_body(b"a" * LARGEST_BODY + b"\n"))

    async def budget_spent(self):
        beta = self.world.account("beta", daily_quota=1)
        async with running(self.world, beta) as center:
            await center.get("/token/beta")
            await anyio.sleep(7200)
            return await self.ask(center, "beta")

    async def host_not_allowed(self):
        return await self.once(self.world.account("alpha", js_domains=("a.example",)))

    async def no_such_credential(self):
        return await self.once(self.world.account("mini"), app="mini")

    async def not_allowed(self):
        return await self.closed(peer=STRANGER)

    async def not_ready(self):
        if "health" in self.path:
            async with running(self.world) as center:
                center.tokens.draining = True
                return await self.ask(center)
        self.world.sandbox.away()
        return await self.once()

    async def store_unavailable(self):
        """What is asked for does not do without the store, nor does a ticket whose token is dead."""
        store = Odd(self.world.clock)
        async with running(self.world, manager={"store": store}) as center:
            self.world.sandbox.revoke((await center.get("/token/alpha")).text)
            store.away = True
            return await self.ask(center)

    async def store_format(self):
        """Where it is known at the start, nothing is served; so this is met where no lifespan runs."""
        store = Odd(self.world.clock)
        store.other_format = True
        async with mounted(self.world, store=store) as center:
            return await self.ask(center)

    async def too_many_waiting(self):
        self.monkeypatch.setattr(waiter, "MOST_WAITING", 0)
        return await self.once()

    async def unknown_account(self):
        return await self.once(app="nope")

    async def upstream_refused(self):
        self.world.sandbox.fail(errcode=45009, times=None)
        return await self.once()

    async def upstream_timeout(self):
        path = None if "token" in self.path else "/cgi-bin/ticket/getticket"
        self.world.sandbox.fail("hang", path=path, times=None)
        async with running(self.world, self.world.account("alpha", tickets=("jsapi",))) as center:
            await anyio.sleep(10.5)
            return await self.ask(center)


def _body(content):
    async def receive():
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


@pytest.mark.parametrize(("path", "method", "status", "code"), OUTCOMES)
async def test_a_described_answer_comes_and_is_as_described(
    path, method, status, code, *, monkeypatch, anyio_backend
):
    answer = await Stage(path, method, monkeypatch).bring(status, code)
    assert answer.status == status
    assert complaint(path, method, answer) is None
    if code and method != "HEAD":
        assert httpx.Response(status, content=answer.body).json()["code"] == code


def complaint(path, method, answer):
    headers = _one_vary(answer.sent[0]["headers"])
    return described().complaint(method, path, answer.status, headers, answer.body)


def _one_vary(headers):
    """The same headers; several lines of `Vary` are one list."""
    vary = [value for name, value in headers if name == b"vary"]
    others = [pair for pair in headers if pair[0] != b"vary"]
    return [*others, (b"vary", b", ".join(vary))] if vary else others


@pytest.mark.parametrize("path", ["/token/{app}", "/ticket/{app}"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("form", ["json", "text"])
async def test_both_forms_of_a_value_are_described(path, method, form, monkeypatch, anyio_backend):
    stage = Stage(path, method, monkeypatch)
    answer = await stage.once(query=f"format={form}", headers=[(b"prefer", b"return=representation")])
    assert answer.status == 200
    assert complaint(path, method, answer) is None
    kind = "application/json" if form == "json" else "text/plain"
    assert answer.headers[b"content-type"].decode() == kind
    assert (b"preference-applied" in answer.headers) == (method == "PUT")


@pytest.mark.parametrize("origin", [b"https://a.example", b"https://b.example", None])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_what_js_domains_and_js_config_ticket_add_is_described(world, method, origin, anyio_backend):
    account = world.account("alpha", js_domains=("a.example",))
    headers = [] if origin is None else [(b"origin", origin)]
    async with running(world, account, js_config_ticket=True) as center:
        query = b"url=https%3A%2F%2Fa.example%2F"
        answer = await center.raw(method, "/js-config/alpha", query=query, headers=headers)
    wanted = 403 if origin == b"https://b.example" else 200
    assert answer.status == {"GET": wanted, "OPTIONS": 204, "POST": 405}[method]
    assert complaint("/js-config/{app}", method, answer) is None
    assert (b"jsapi_ticket" in answer.body) == (method == "GET" and origin is None)


@pytest.mark.parametrize("path", sorted({path for path, _ in described().operations}))
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "TRACE", "BREW", "get"])
async def test_another_method_is_answered_as_described(world, path, method, anyio_backend):
    async with running(world) as center:
        answer = await center.raw(method, path.replace("{app}", "alpha"))
    assert answer.status == 405
    assert complaint(path, method, answer) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_another_path_is_answered_as_described(world, method, anyio_backend):
    async with running(world) as center:
        answer = await center.raw(method, "/tokens/alpha")
    assert answer.status == 404
    assert complaint(None, method, answer) is None


# the comparison itself


GOOD = [
    (b"content-type", b"application/json"),
    (b"content-length", b"57"),
    (b"cache-control", b"no-store"),
]
BODY = b'{"code":"not_allowed","errmsg":"not allowed from here"}'


@pytest.mark.parametrize(
    ("path", "status", "headers", "body", "said"),
    [
        ("/token/{app}", 403, GOOD, BODY, None),
        ("/token/{app}", 418, GOOD, BODY, "the status 418"),
        ("/health/live", 403, GOOD, BODY, "the status 403"),
        (None, 403, GOOD, BODY, "the status 403"),
        ("/token/{app}", 403, GOOD[:2], BODY, "missing"),
        ("/token/{app}", 403, [*GOOD, (b"etag", b"x")], BODY, "'etag' is not described"),
        ("/token/{app}", 403, [*GOOD, GOOD[2]], BODY, "twice"),
        ("/token/{app}", 403, [*GOOD[:2], (b"cache-control", b"private")], BODY, "not as described"),
        ("/token/{app}", 403, [(b"content-type", b"text/html"), *GOOD[1:]], BODY, "content type"),
        ("/token/{app}", 403, GOOD[1:], BODY, "content type None"),
        ("/token/{app}", 403, GOOD, BODY.replace(b"not_allowed", b"not_awlowed"), "body is not as"),
        ("/token/{app}", 403, GOOD, BODY[:-1] + b',"x":1}', "body is not as"),
        ("/token/{app}", 403, GOOD, BODY + b" ", "length"),
    ],
)
def test_an_answer_that_is_not_as_described_is_noticed(path, status, headers, body, said):
    right = b"%d" % (len(body) - (said == "length"))
    headers = [(name, right if name == b"content-length" else value) for name, value in headers]
    found = described().complaint("GET", path, status, headers, body)
    assert found is None if said is None else said in found


@pytest.mark.parametrize("method", ["HEAD"])
def test_a_head_has_no_body(method):
    assert described().complaint(method, "/token/{app}", 403, GOOD, b"") is None
    assert "a body" in described().complaint(method, "/token/{app}", 403, GOOD, BODY)


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (b"", True),
        (b" ", True),
        (b"110_" + b"x" * 100, True),
        (b"short", False),
        (b"two words of more than 16", False),
    ],
)
def test_what_is_said_of_a_reports_word_is_what_the_code_takes(body, good):
    schema = described().document["components"]["schemas"]["DeadWord"]
    assert Draft202012Validator(schema).is_valid(body.decode()) == good
    assert _taken(body) == good


def _taken(body):
    from wxtoken_asgi.bodies import BadBodyError, _report

    try:
        _report(body.strip(), "access_token")
    except BadBodyError:
        return False
    return True
