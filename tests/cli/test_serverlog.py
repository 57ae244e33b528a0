"""The access log holds no token, and the sandbox's server keeps quiet."""

from __future__ import annotations

import logging
import logging.config

import pytest

from wxtoken_asgi.command.serverlog import SANDBOX_THREAD, NoSecrets, QuietSandbox, log_config

TOKEN = "84_" + "Ab-_" * 34


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/token/alpha", "/token/alpha"),
        ("/token/alpha?format=json", "/token/alpha"),
        (f"/cgi-bin/user/info?access_token={TOKEN}&openid=1", "/cgi-bin/user/info"),
        ("/js-config/alpha?url=https%3A%2F%2Fa.com%2F", "/js-config/alpha?url=https%3A%2F%2Fa.com%2F"),
        ("/wx/js-config/alpha/?url=https%3A%2F%2Fa.com", "/wx/js-config/alpha/?url=https%3A%2F%2Fa.com"),
        ("/js-config/alpha?a=1&url=x&access_token=y", "/js-config/alpha?url=x"),
        ("/js-config/alpha?access_token=y", "/js-config/alpha"),
        ("/other/js-config?url=secret", "/other/js-config"),
        (f"/js-config/alpha?url=https://a.com/?t={TOKEN}", "/js-config/alpha?url=https://a.com/?t=..."),
        (f"/token/{TOKEN}", "/token/..."),
        ("/shop?next=/js-config/a?url=b", "/shop"),
    ],
)
def test_an_access_line_keeps_no_query_but_the_url_of_js_config(path, shown):
    record = logging.LogRecord(
        "uvicorn.access", 20, "", 0, '%s - "%s %s HTTP/%s" %d', ("127.0.0.1:1", "GET", path, "1.1", 200), None
    )
    assert NoSecrets().filter(record) is True
    assert record.getMessage() == f'127.0.0.1:1 - "GET {shown} HTTP/1.1" 200'


@pytest.mark.parametrize("args", [("/a?b=c",), None, ({"path": "/a?b=c"},)])
def test_a_line_of_another_form_is_not_written(args):
    assert NoSecrets().filter(logging.LogRecord("uvicorn.access", 20, "", 0, "a line", args, None)) is False


@pytest.mark.parametrize(
    ("thread", "level", "kept"),
    [
        ("MainThread", logging.INFO, True),
        (SANDBOX_THREAD, logging.INFO, False),
        (SANDBOX_THREAD, logging.WARNING, True),
    ],
)
def test_the_sandbox_s_server_says_only_what_is_worrying(thread, level, kept):
    record = logging.LogRecord("uvicorn.error", level, "", 0, "started", None, None)
    record.threadName = thread
    assert QuietSandbox().filter(record) is kept


@pytest.fixture
def loggers():
    """Puts the loggers back as they were."""
    names = ["", "wxtoken_asgi", "httpx", "httpcore", "uvicorn", "uvicorn.error", "uvicorn.access"]
    found = [logging.getLogger(name) for name in names]
    before = [(log, log.level, log.handlers[:], log.propagate) for log in found]
    yield
    for log, level, handlers, propagate in before:
        log.setLevel(level)
        log.handlers[:] = handlers
        log.propagate = propagate


def test_our_own_lines_are_shown_and_urls_of_the_http_client_are_not(loggers):
    logging.config.dictConfig(log_config("debug"))
    assert logging.getLogger("wxtoken_asgi").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)
