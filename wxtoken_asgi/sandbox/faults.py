"""Faults on request: everything that goes wrong between a client and WeChat."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.sandbox.clock import WallClock, duration, is_whole
from wxtoken_asgi.sandbox.wire import JSON_TYPE, Exchange, Reply, compact

FaultKind = Literal["errcode", "status", "garbage", "empty", "body", "half", "slow", "hang", "reset", "away"]

_HTML: Final = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, for the calls that it fits.

    Args:
        kind: what goes wrong:
            `errcode`: WeChat answers `errcode`, with its own text.
            `status`: an HTML page with the HTTP status `status`.
            `garbage`: `body` (bytes or text), or bytes that are no JSON, under WeChat's content type.
            `empty`: HTTP 200 without a body (WeChat in 2017).
            `body`: any JSON value, `body`, instead of the answer.
            `half`: the answer breaks off half-way.
            `slow`: the right answer, `seconds` late.
            `hang`: no answer, ever.
            `reset`: the connection is reset.
            `away`: nobody is there, for `seconds` or until healed. A client in this process cannot connect;
            over a real server, which is there, it is HTTP 503.
        path: only calls of this path; all of WeChat's if None.
        appid: only calls about this account, as far as the call shows it; all if None.
        times: how many calls it hits; every one if None. `away` does not count calls.
        before: whether it hits before WeChat processes the call. If False, WeChat does its work first: a
            token IS issued, and the answer is lost. A `slow` call is processed after or before the delay.
        errcode: for `errcode`.
        status: for `status`.
        body: for `body` and `garbage`.
        seconds: for `slow` and `away`.

    Raises:
        ConfigError: a value is wrong; the message names it.
    """

    kind: FaultKind = "errcode"
    path: str | None = None
    appid: str | None = None
    times: int | None = 1
    before: bool = True
    errcode: int = -1
    status: int = 502
    body: object = field(default=None, repr=False)
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ConfigError(
                f"fault: kind must be one of {', '.join(get_args(FaultKind))}, not {self.kind!r}"
            )
        for name, value in (("path", self.path), ("appid", self.appid)):
            if not isinstance(value, str | None):
                raise ConfigError(f"fault: {name} must be text, not {value!r}")
        if self.times is not None and not (is_whole(self.times) and self.times > 0):
            raise ConfigError(f"fault: times must be a whole number above 0, or nothing, not {self.times!r}")
        if not is_whole(self.errcode):
            raise ConfigError(f"fault: errcode must be a whole number, not {self.errcode!r}")
        if not (is_whole(self.status) and 200 <= self.status <= 599):
            raise ConfigError(f"fault: status must be from 200 to 599, not {self.status!r}")
        if self.seconds is not None:
            duration(self.seconds, "fault: seconds")
        elif self.kind == "slow":
            raise ConfigError("fault: slow needs seconds")

    def fits(self, path: str, appid: str | None) -> bool:
        """Whether a call is one of those that this fault hits."""
        return self.path in {None, path} and self.appid in {None, appid}


@dataclass(slots=True, eq=False)
class _Armed:
    fault: Fault
    left: int | None
    until: float


class Faults:
    """The faults that wait for their calls. The first that fits hits.

    Args:
        clock: the sandbox's time, by which an `away` ends.
    """

    def __init__(self, clock: WallClock) -> None:
        self._clock = clock
        self._armed: list[_Armed] = []

    def __len__(self) -> int:
        return len(self._armed)

    def add(self, fault: Fault) -> None:
        """Arm a fault."""
        if fault.kind != "away":
            self._armed.append(_Armed(fault, fault.times, math.inf))
            return
        until = math.inf if fault.seconds is None else self._clock.time() + fault.seconds
        self._armed.append(_Armed(fault, None, until))

    def take(self, path: str, appid: str | None) -> Fault | None:
        """The fault that hits a call, if one does; it is counted as hit."""
        if not self._armed:
            return None
        now = self._clock.time()
        self._armed = [armed for armed in self._armed if now < armed.until]
        hit = next((armed for armed in self._armed if armed.fault.fits(path, appid)), None)
        if hit is None:
            return None
        if hit.left is not None:
            hit.left -= 1
            if not hit.left:
                self._armed.remove(hit)
        return hit.fault

    def heal(self) -> None:
        """Remove all faults. Calls that hang already go on hanging."""
        self._armed = []


async def strike(fault: Fault, exchange: Exchange, usual: Reply) -> None:
    """Let a call meet its fault; `slow` is not for here.

    Args:
        fault: the fault.
        exchange: the call's answering half.
        usual: the answer that is broken or withheld.
    """
    match fault.kind:
        case "hang":
            await exchange.gone()
        case "reset":
            await exchange.reset()
        case "half":
            await exchange.half(usual)
        case "away" if exchange.in_process():
            raise exchange.failure("ConnectError", ConnectionRefusedError, "the sandbox is away")
        case _:
            await exchange.answer(_odd(fault, usual))


def _odd(fault: Fault, usual: Reply) -> Reply:
    match fault.kind:
        case "status":
            return Reply(fault.status, _HTML.format(fault.status).encode(), "text/html")
        case "away":
            return Reply(503, _HTML.format(503).encode(), "text/html")
        case "garbage":
            return Reply(200, _raw(fault.body), JSON_TYPE)
        case "empty":
            return Reply(200, b"", "text/html; charset=gbk")
        case "body":
            return Reply(200, compact(fault.body))
    return usual


def _raw(body: object) -> bytes:
    if body is None:
        return b'\x1f\x8b\xff{"access_token'
    return body if isinstance(body, bytes) else str(body).encode()
