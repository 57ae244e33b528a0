"""Secrets are taken out of log records, whoever writes them."""

from __future__ import annotations

import io
import json
import logging
import sys
from time import process_time

import httpx
import pytest
from uvicorn.logging import AccessFormatter

from wxtoken_asgi.audit import Audit
from wxtoken_asgi.callers import Caller
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.redaction import RedactingFilter, install, redact

SECRET = "5f2c0a9b7d1e4c3f8a6b5d4e3f2a1b0c"
KEY = "wxk_Zm9vYmFy-Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9v"


@pytest.fixture
def log():
    """A logger of one's own, and what its handler, which has the filter, writes."""
    logger, stream = logging.getLogger("test.redaction"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger, stream
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


@pytest.fixture
def loggers():
    """Names of loggers that lose their filters and handlers afterwards."""
    names = (
        "httpx",
        "httpcore",
        "httpcore.http11",
        "shop",
        "shop.child",
        "shop.child.grandchild",
        "shopping",
    )
    before = {name: logging.getLogger(name) for name in names}
    kept = {
        name: (logger.level, logger.filters[:], logger.handlers[:], logger.propagate)
        for name, logger in before.items()
    }
    yield before
    for name, logger in before.items():
        logger.setLevel(kept[name][0])
        logger.filters, logger.handlers, logger.propagate = kept[name][1:]


def _record(msg, *args, exc_info=None):
    return logging.LogRecord("shop", logging.INFO, "shop.py", 1, msg, args, exc_info)


def _filtered(msg, *args):
    record = _record(msg, *args)
    assert RedactingFilter().filter(record) is True
    return record


def _fail(text):
    raise ValueError(text)


# texts


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"GET /token?appid=wx1&secret={SECRET} HTTP", "GET /token?appid=wx1&secret=*** HTTP"),
        (f"/a?access_token={SECRET}&openid=o1", "/a?access_token=***&openid=o1"),
        (f"/a?corpid=c&corpsecret={SECRET}#top", "/a?corpid=c&corpsecret=***#top"),
        (f"?appsecret={SECRET}&b=1", "?appsecret=***&b=1"),
        (f"?ticket={SECRET}&type=jsapi", "?ticket=***&type=jsapi"),
        (f"?jsapi_ticket={SECRET}&noncestr=n", "?jsapi_ticket=***&noncestr=n"),
        (f"?component_access_token={SECRET}", "?component_access_token=***"),
        (f"?suite_access_token={SECRET}", "?suite_access_token=***"),
        (f"?refresh_token={SECRET}", "?refresh_token=***"),
        (f"?authorizer_refresh_token={SECRET}", "?authorizer_refresh_token=***"),
        (f"?key={SECRET}&apikey={SECRET}&session_key=a%2Fb%3D%3D", "?key=***&apikey=***&session_key=***"),
        (f"?ACCESS_TOKEN={SECRET}", "?ACCESS_TOKEN=***"),
        (f"?access%5Ftoken={SECRET}&x=1", "?access%5Ftoken=***&x=1"),
        (f"?to=https%3A%2F%2Fh%3Fsecret%3D{SECRET}%26a%3D1", "?to=https%3A%2F%2Fh%3Fsecret%3D***%26a%3D1"),
        (f"?to=secret%253d{SECRET}", "?to=secret%253d***"),
        (f"secret={SECRET}\nnext", "secret=***\nnext"),
        (f"<a href='?secret={SECRET}'>", "<a href='?secret=***'>"),
        (f'{{"access_token":"{SECRET}","expires_in":7200}}', '{"access_token":"***","expires_in":7200}'),
        (f"{{'jsapi_ticket': '{SECRET}', 'a': 1}}", "{'jsapi_ticket': '***', 'a': 1}"),
        (f"{{b'secret': b'{SECRET}'}}", "{b'secret': b'***'}"),
        (f'{{"session_key" : "{SECRET}"}}', '{"session_key" : "***"}'),
        (f"redis://user:{SECRET}@store:6379/0", "redis://***@store:6379/0"),
        (f"redis://:{SECRET}@store", "redis://***@store"),
        (f"http://a:{SECRET}@b and http://c:{SECRET}@d/", "http://***@b and http://***@d/"),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f"authorization: Basic {SECRET}", "authorization: Basic ***"),
        (f"Authorization: {SECRET}", "Authorization: ***"),
        (f"(b'authorization', b'Bearer {SECRET}'), b'a'", "(b'authorization', b'Bearer ***'), b'a'"),
        (f"with bearer {SECRET} came", "with bearer *** came"),
        (f"Authorization: {SECRET} and more, {SECRET}\nnext", "Authorization: ***\nnext"),
        (f'authorization: Digest username="u", response="{SECRET}"', "authorization: Digest ***"),
        (f"proxy-authorization : Basic {SECRET} x\r\nnext", "proxy-authorization : Basic ***\r\nnext"),
        (f"{{'authorization': 'Some {SECRET}', 'a': 'b'}}", "{'authorization': '***', 'a': 'b'}"),
        (f'"authorization": "Digest r=\\"{SECRET}\\"", "a": 1', '"authorization": "Digest ***", "a": 1'),
        (f"?authorization={SECRET}", "?authorization=***"),
        (f"secret: {SECRET}", "secret: ***"),
        ("appsecret :abc, next", "appsecret :***, next"),
        ("password: hunter2 was wrong", "password: *** was wrong"),
        (f"access_token: {SECRET} is dead", "access_token: *** is dead"),
        (f"the key is {KEY}.", "the key is wxk_***"),
        (f"?next={KEY.replace('_', '%5F')}&a=1", "?next=wxk_***&a=1"),
        (f"?next={KEY.replace('_', '%255f').replace('-', '%252D')}&a=1", "?next=wxk_***&a=1"),
        (f"/token/{KEY}/x", "/token/wxk_***"),
        (f"start host='h' auth=(b'user', b'{SECRET})(') more\nnext", "start host='h' auth=***\nnext"),
    ],
)  # fmt: skip
def test_a_secret_is_taken_out_of_a_text(text, clean):
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /token/shop?format=json HTTP/1.1",
        "https://www.example.com/page?from=timeline&isappinstalled=0#top",
        "shop: a new access_token, good for 7200 s",
        "the token of shop died early; see secret_file",
        "access_token of account shop: no value yet, it is being fetched",
        "shop's jsapi_ticket: WeChat refused; next attempt in 8 s",
        "wx.toml: account shop: secret_file: 'x' cannot be read",
        "endpoint = token",
        "write to shop@example.com, see https://example.com/@shop",
        '{"v":1,"key":"0123456789ab","kind":"access_token"}',
        "secret=",
        "店铺的令牌",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "secret=",
        "token",
        "token'",
        "auth=(",
        "bearer ",
        "://",
        "authorization:",
        "a",
        "wxk_",
        "wxk%",
        "wxk%25",
        "25",
        "secret: ",
        "token:x",
        "authorization': '\\",
        "authorization: b",
        "%26",
        "secret%3D",
    ],
)
def test_a_long_text_takes_no_more_than_its_time(piece):
    begun = process_time()
    redact(piece * (200_000 // len(piece)))
    assert process_time() - begun < 10  # a quadratic rule takes minutes


# records


def test_the_arguments_are_redacted_one_by_one_for_formatters_that_look_at_them():
    line = ("127.0.0.1:50000", "GET", f"/token/shop?access_token={SECRET}", "1.1", 200)
    record = _filtered('%s - "%s %s HTTP/%s" %d', *line)
    assert record.msg == '%s - "%s %s HTTP/%s" %d'
    assert record.args == ("127.0.0.1:50000", "GET", "/token/shop?access_token=***", "1.1", 200)


def test_uvicorns_own_formatter_writes_a_redacted_record():
    line = ("127.0.0.1:50000", "GET", f"/token/shop?access_token={SECRET}", "1.1", 200)
    record = _filtered('%s - "%s %s HTTP/%s" %d', *line)
    text = AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s', use_colors=False).format(
        record
    )
    assert text == '127.0.0.1:50000 "GET /token/shop?access_token=*** HTTP/1.1" 200 OK'


def test_a_secret_that_only_the_whole_message_shows_is_taken_out():
    record = _filtered("secret=%s&a=%d", SECRET, 1)
    assert (record.getMessage(), record.args) == ("secret=***&a=1", ())
    assert _filtered(f"secret={SECRET} 100%%, %s", "x").getMessage() == "secret=*** 100%, x"


def test_named_arguments_are_redacted_by_their_names():
    record = _filtered(
        "%(access_token)s for %(shop)s in %(ticket)d s", {"access_token": SECRET, "shop": "a", "ticket": 3}
    )
    assert record.getMessage() == "*** for a in 3 s"  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        httpx.URL(f"https://api.weixin.qq.com/cgi-bin/x?access_token={SECRET}"),
        {"access_token": SECRET},
        [f"secret={SECRET}"],
        f"secret={SECRET}".encode(),
        ValueError(f"no answer from https://h/?secret={SECRET}"),
        httpx.Headers({"authorization": f"Bearer {SECRET}"}).raw,
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_object_is_redacted_as_it_would_be_written(value):
    for record in (_filtered("got %s", value), _filtered("got %r", value), _filtered(value)):
        assert SECRET not in record.getMessage()
        assert "***" in record.getMessage()


def test_what_holds_no_secret_stays_the_object_that_it_is():
    values = (1, 2.5, None, True, "text", httpx.URL("https://example.com/"), b"bytes")
    record = _filtered("%s %s %s %s %s %s %s", *values)
    assert all(kept is value for kept, value in zip(record.args, values, strict=True))
    assert record.msg == "%s %s %s %s %s %s %s"
    unusual = object()
    assert _filtered(unusual).msg is unusual


class _Broken:
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("msg", "args"),
    [
        ("too few %s %s", (f"secret={SECRET}",)),
        ("too many", (f"secret={SECRET}", 1)),
        (f"secret={SECRET} %d", ("x",)),
        ("%s %s", (_Broken(), f"secret={SECRET}")),
        (f"%(a)s secret={SECRET}", ({"b": f"secret={SECRET}"},)),
    ],
)
def test_what_cannot_be_written_is_redacted_in_its_parts_and_raises_nothing(msg, args):
    record = _filtered(msg, *args)
    args = record.args.values() if isinstance(record.args, dict) else record.args
    parts = [record.msg, *(part for part in args if not isinstance(part, _Broken))]
    assert "***" in str(parts)
    assert SECRET not in str(parts)


def test_what_has_no_text_at_all_raises_nothing():
    record = _filtered(_Broken())
    assert isinstance(record.msg, _Broken)
    record = _record("x")
    record.args = 7
    assert RedactingFilter().filter(record) is True


def test_a_traceback_with_a_secret_is_kept_as_text_without_it(log):
    logger, stream = log
    try:
        _fail(f"no answer from https://h/?secret={SECRET}")
    except ValueError:
        logger.exception("it failed")
    assert "no answer from https://h/?secret=***" in stream.getvalue()
    assert "Traceback" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_a_traceback_that_another_handler_has_written_already_is_redacted():
    record = _record("it failed")
    record.exc_text = f"ValueError: secret={SECRET}"
    RedactingFilter().filter(record)
    assert record.exc_text == "ValueError: secret=***"


def test_a_traceback_without_a_secret_keeps_its_exception():
    try:
        _fail("no answer")
    except ValueError:
        info = sys.exc_info()
    record = _record("it failed", exc_info=info)
    RedactingFilter().filter(record)
    assert record.exc_info is info
    assert record.exc_text is None


def test_a_stack_is_redacted():
    record = _record("here")
    record.stack_info = f'  call("secret={SECRET}")'
    RedactingFilter().filter(record)
    assert record.stack_info == '  call("secret=***")'


def test_an_audit_record_passes_as_it_is(log):
    logger, stream = log
    audit = Audit(Clock(), logger)
    caller = Caller("shop-web", "0123456789ab", "10.1.0.7")
    audit.tell("refresh", caller, account="shop", kind="access_token", result="ok", status=200)
    assert json.loads(stream.getvalue())["key"] == "0123456789ab"


# loggers


async def test_httpx_logs_no_secret_once_the_filter_is_installed(loggers, anyio_backend):
    stream = io.StringIO()
    loggers["httpx"].addHandler(logging.StreamHandler(stream))
    loggers["httpx"].setLevel(logging.INFO)
    loggers["httpx"].propagate = False
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    url = f"https://api.weixin.qq.com/cgi-bin/token?appid=wx1&secret={SECRET}"
    async with httpx.AsyncClient(transport=transport) as client:
        await client.get(url)
        assert SECRET in stream.getvalue(), "httpx does log it"
        stream.truncate(0)
        install()
        await client.get(url)
    assert "https://api.weixin.qq.com/cgi-bin/token?appid=wx1&secret=*** " in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_the_filter_is_installed_once_on_loggers_and_the_children_that_exist(loggers):
    install()
    install(["httpx", "shop"])
    install(["shop"])
    for name, logger in loggers.items():
        assert sum(isinstance(known, RedactingFilter) for known in logger.filters) == (name != "shopping"), (
            name
        )


def test_a_filter_that_is_there_already_is_enough(loggers):
    mine = RedactingFilter()
    loggers["shop"].addFilter(mine)
    install(["shop"])
    assert loggers["shop"].filters == [mine]
