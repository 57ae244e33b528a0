"""The access log holds no token, and the sandbox's server keeps quiet."""

from __future__ import annotations

import logging
import logging.config
import shutil
import stat

import pytest

from wxtoken_asgi.audit import LOGGER
from wxtoken_asgi.command.serverlog import (
    SANDBOX_THREAD,
    AuditFile,
    NoSecrets,
    QuietSandbox,
    log_config,
    try_audit,
)
from wxtoken_asgi.errors import ConfigError

KEY = "wxk_not-to-be-shown"
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
        (f"/token/{KEY}", "/token/wxk_***"),
        (f"/token/{KEY.replace('_', '%5F')}", "/token/wxk_***"),
        (
            f"/js-config/alpha?url=https%3A%2F%2Fa.com%2F%3Fk%3D{KEY}",
            "/js-config/alpha?url=https%3A%2F%2Fa.com%2F%3Fk%3Dwxk_***",
        ),
        (
            "/js-config/alpha?url=https%3A%2F%2Fa.com%3Fsecret%3Dabc",
            "/js-config/alpha?url=https%3A%2F%2Fa.com%3Fsecret%3D***",
        ),
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
    names = ["", "wxtoken_asgi", LOGGER, "httpx", "httpcore", "uvicorn", "uvicorn.error", "uvicorn.access"]
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


def test_no_handler_writes_a_key_or_a_secret_that_some_logger_was_given(loggers, capsys):
    logging.config.dictConfig(log_config("debug", "stdout"))
    line = ("127.0.0.1:1", "GET", f"/token/{KEY}?k={KEY}", "1.1", 200)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *line)
    logging.getLogger("uvicorn.error").warning("Authorization: Bearer not-to-be-shown at all")
    logging.getLogger("wxtoken_asgi").warning("secret: not-to-be-shown")
    tell(f'{{"account": "{KEY}", "key": "0123456789ab"}}')
    out, err = capsys.readouterr()
    assert "not-to-be-shown" not in out + err
    assert "GET /token/wxk_*** HTTP/1.1" in out
    assert '{"account": "wxk_***", "key": "0123456789ab"}' in out
    assert "Authorization: Bearer ***\n" in err
    assert "secret: ***\n" in err


# Audit records


def tell(text):
    logging.getLogger(LOGGER).info(text)


def test_without_the_setting_no_audit_record_is_written(loggers, capsys):
    logging.config.dictConfig(log_config("debug"))
    assert not logging.getLogger(LOGGER).isEnabledFor(logging.INFO)
    tell("a record")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("stream", "number"), [("stdout", 0), ("stderr", 1)])
def test_audit_records_go_to_a_stream_as_they_are_whatever_the_level(loggers, capsys, stream, number):
    logging.config.dictConfig(log_config("critical", stream))
    tell('{"a": "中"}')
    written = capsys.readouterr()
    assert written[number] == '{"a": "中"}\n'
    assert written[1 - number] == ""


@pytest.fixture
def audit(tmp_path, loggers):
    """A file of audit records that is being written."""
    file = tmp_path / "audit.log"
    logging.config.dictConfig(log_config("info", str(file)))
    yield file
    for handler in logging.getLogger(LOGGER).handlers:
        handler.close()


def test_a_file_of_audit_records_is_its_owner_s_alone_also_after_it_was_moved_away(audit, capsys):
    tell("one")
    audit.rename(audit.with_suffix(".1"))
    tell("two")
    assert audit.with_suffix(".1").read_text() == "one\n"
    assert audit.read_text() == "two\n"
    assert stat.S_IMODE(audit.stat().st_mode) == stat.S_IMODE(audit.with_suffix(".1").stat().st_mode) == 0o600
    assert capsys.readouterr() == ("", "")


def test_a_record_with_half_a_character_is_written(tmp_path):
    handler = AuditFile(str(tmp_path / "audit.log"))
    handler.handle(logging.LogRecord(LOGGER, logging.INFO, "", 0, "\ud800", None, None))
    handler.close()
    assert (tmp_path / "audit.log").read_text() == "\\ud800\n"


def test_a_file_that_cannot_be_made_again_keeps_no_request_from_its_answer(audit, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    shutil.rmtree(audit.parent)
    tell("lost")
    audit.parent.mkdir()
    tell("kept")
    assert audit.read_text() == "kept\n"


@pytest.mark.parametrize("place", [None, "stdout", "stderr", "audit.log"])
def test_a_place_for_audit_records_is_tried_before_anything_is_served(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    try_audit(place)
    assert [file.name for file in tmp_path.iterdir()] == (["audit.log"] if place == "audit.log" else [])


def test_no_place_for_audit_records_is_one_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        try_audit(f"{tmp_path}/none/audit.log")
    assert (
        str(caught.value) == f"audit_log: cannot write {tmp_path}/none/audit.log: No such file or directory"
    )
