"""The sandbox's handles over HTTP, for demos and for tests that run it in another process.

Everything is below `/sandbox/` and answered in JSON. Only callers on loopback are let in (403). A value that
is wrong gets 400 and `{"error": …}`, an unknown path or method 404.

    GET  /sandbox/state?appid=…          calls, quotas used, and the current tokens' age and time left
    GET  /sandbox/calls[?appid=…]        counters: {"/cgi-bin/token": {"0": 3, "45009": 1}, …}
    GET  /sandbox/accepts?token=…        {"accepts": true}: would a protected API take it?
    GET  /sandbox/accepts-ticket?ticket=…
    GET  /sandbox/accepts-signature?appid=…&url=…&noncestr=…&timestamp=…&signature=…
                                         would wx.config succeed on this page?
    POST /sandbox/account                {"appid": …, "secret": …, "kind": …, "daily_quota": …, …}
    POST /sandbox/advance                {"seconds": 60} moves the time
    POST /sandbox/fault                  {"kind": "errcode", "errcode": -1, "path": …, "times": 3, …}
    POST /sandbox/heal                   removes all faults
    POST /sandbox/revoke                 {"token": …} kills a token
    POST /sandbox/reset-secret           {"appid": …, "secret": …} makes the old secret wrong
    POST /sandbox/outside-fetch          {"appid": …, "endpoint": "token", "force": false}

The arguments are those of the methods of `Sandbox` with the same names, and of `Fault`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from wxtoken_asgi.errors import ConfigError, UnknownAccount
from wxtoken_asgi.sandbox.errcodes import Refused
from wxtoken_asgi.sandbox.handles import Handles
from wxtoken_asgi.sandbox.wire import Reply, Request, compact

PREFIX = "/sandbox/"

Route = Callable[[Mapping[str, Any]], dict[str, Any]]


class Control:
    """Answers the calls below `/sandbox/`.

    Args:
        sandbox: what is controlled.
    """

    def __init__(self, sandbox: Handles) -> None:
        self._sandbox = sandbox
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "state"): lambda given: sandbox.state(**given),
            ("GET", "calls"): lambda given: sandbox.counts(**given),
            ("GET", "accepts"): lambda given: {"accepts": sandbox.accepts(**given)},
            ("GET", "accepts-ticket"): lambda given: {"accepts": sandbox.accepts_ticket(**given)},
            ("GET", "accepts-signature"): lambda given: {"accepts": sandbox.accepts_signature(**given)},
            ("POST", "account"): self._account,
            ("POST", "advance"): self._advance,
            ("POST", "fault"): self._fault,
            ("POST", "heal"): self._heal,
            ("POST", "revoke"): lambda given: {"revoked": sandbox.revoke(**given)},
            ("POST", "reset-secret"): self._reset_secret,
            ("POST", "outside-fetch"): self._outside_fetch,
        }

    def answer(self, request: Request) -> Reply:
        """Do what is asked, if the caller may."""
        if not _is_loopback(request.peer):
            return _json(403, {"error": "the sandbox is controlled from this machine alone"})
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX)))
        if route is None:
            return _json(404, {"error": f"there is no {request.method} {request.path}"})
        given = request.query if request.method == "GET" else request.json or {}
        try:
            return _json(200, route(given))
        except Refused as refused:
            return _json(409, {"error": str(refused), "errcode": refused.errcode})
        except (ConfigError, UnknownAccount, TypeError) as error:
            return _json(400, {"error": str(error)})

    def _account(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._sandbox.add(**given)
        return {"appid": given["appid"]}

    def _reset_secret(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._sandbox.reset_secret(**given)
        return {"appid": given["appid"]}

    def _advance(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._sandbox.advance(**given)
        return {"time": self._sandbox.clock.time()}

    def _fault(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._sandbox.fail(**given)
        return {"faults": len(self._sandbox.faults)}

    def _heal(self, _given: Mapping[str, Any]) -> dict[str, Any]:
        self._sandbox.heal()
        return {"faults": 0}

    def _outside_fetch(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._sandbox.outside_fetch(**given)
        return {"appid": given["appid"]}


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _json(status: int, value: object) -> Reply:
    return Reply(status, compact(value), "application/json")
