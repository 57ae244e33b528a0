"""Callers that send half a request and then nothing hold nobody up, behind nginx or not."""

from __future__ import annotations

import select
import socket
import time
from contextlib import contextmanager
from http.client import HTTPResponse

import pytest
from proxies_table import ALONE, DIRECT, FRIEND, STRANGER

CALLERS = 200
AT_ONCE_S = 4.0  # less than the service waits for a body, much more than it takes
PLACES = ((DIRECT, "/listed/token/alpha"), ("unbuffered", "/proxied/token/alpha"))


def half(stage, server, way, path, kind):
    """A request without its end: in the middle of a header, or of the body of a PUT."""
    whole = stage.request("PUT", server, way, path)
    if kind == "header":
        return whole[:-5]
    return whole.removesuffix(b"\r\n") + b"Content-Length: 1000\r\n\r\n{"


@contextmanager
def held(stage, server, way, path, kind):
    """Many trusted callers that have sent half of it."""
    request = half(stage, server, way, path, kind)
    sockets = []
    try:
        for _ in range(CALLERS):
            sockets.append(stage.connect(server, way, FRIEND))
            sockets[-1].sendall(request)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def is_held(sock: socket.socket) -> bool:
    """Whether it is neither answered nor closed."""
    watched = select.poll()
    watched.register(sock, select.POLLIN)
    return not watched.poll(0)


def status_on(sock: socket.socket) -> int:
    with HTTPResponse(sock) as response:
        response.begin()
        return response.status


@pytest.mark.parametrize("kind", ["header", "body"])
@pytest.mark.parametrize("server", ALONE)
def test_two_hundred_halves_hold_no_reader_up(stage, server, kind):
    (_, direct), (behind, proxied) = PLACES
    assert stage.ask(server, DIRECT, direct, caller=FRIEND)[0] == 200
    with held(stage, server, DIRECT, direct, kind) as near, held(stage, server, behind, proxied, kind) as far:
        assert is_held(near[-1])
        assert is_held(far[-1])
        for way, path in PLACES:
            began = time.monotonic()
            assert stage.ask(server, way, path, caller=FRIEND)[0] == 200
            assert time.monotonic() - began < AT_ONCE_S, way
    for way, path in PLACES:
        assert stage.ask(server, way, path, caller=FRIEND)[0] == 200


@pytest.mark.parametrize("server", ALONE)
def test_a_stranger_s_body_is_not_waited_for(stage, server):
    for way, path in PLACES:
        with stage.connect(server, way, STRANGER) as sock:
            began = time.monotonic()
            sock.sendall(half(stage, server, way, path, "body"))
            assert status_on(sock) == 403
            assert time.monotonic() - began < AT_ONCE_S, way


def test_half_a_body_is_answered_in_the_end(stage):
    (way, path) = PLACES[0]
    with held(stage, ALONE[0], way, path, "body") as sockets:
        assert {status_on(sock) for sock in (sockets[0], sockets[-1])} == {408}
