"""The body of a `PUT`: a report that a value is dead, or none."""

from __future__ import annotations

import json
import re
from typing import Final

import anyio
from starlette.types import Receive

LARGEST_BODY: Final = 4096
BODY_WAIT_S: Final = 5.0

_WORD: Final = re.compile(rb"[A-Za-z0-9_-]{16,1024}")
_NOTHING: Final = frozenset({b"", b"{}", b"null", b'""'})


class BadBodyError(Exception):
    """The body cannot be taken.

    Args:
        status: the HTTP status to answer with.
        code: the error's word.
        message: what was wrong and what to do.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class GoneError(Exception):
    """The caller went away before it had sent its body."""


async def read_report(receive: Receive, field: str) -> str | None:
    """The value that the caller reports as dead, or None if it reports nothing.

    Args:
        receive: where its body comes from.
        field: the name of the value in a JSON body: `access_token` or `ticket`.

    Raises:
        BadBodyError: it is neither a report nor nothing, too large, or too slow.
        GoneError: the caller went away.
    """
    try:
        with anyio.fail_after(BODY_WAIT_S):
            body = await _read(receive)
    except TimeoutError:
        message = f"the body did not come within {BODY_WAIT_S:g} s"
        raise BadBodyError(408, "body_timeout", message) from None
    return _report(body.strip(), field)


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise BadBodyError(413, "body_too_large", f"a report has at most {LARGEST_BODY} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def _report(body: bytes, field: str) -> str | None:
    if body in _NOTHING:
        return None
    if _WORD.fullmatch(body):
        return body.decode()
    try:
        content = json.loads(body.decode())  # bytes it would take in UTF-16 and UTF-32, too
    except (ValueError, RecursionError):
        raise _bad(field) from None
    if content in ({}, None, ""):
        return None
    value = content.get(field) if isinstance(content, dict) else None
    if isinstance(value, str) and value:
        return value
    raise _bad(field)


def _bad(field: str) -> BadBodyError:
    message = f'send nothing, or the dead value: alone as text, or as JSON {{"{field}": "..."}}'
    return BadBodyError(400, "bad_body", message)
