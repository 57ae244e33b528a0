"""Servers, ways through nginx, rules, forged headers; and who is to be served where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

FRIEND: Final = "127.0.0.2"
STRANGER: Final = "127.0.0.3"

RULES: Final = {
    "default": {},
    "listed": {"trusted": [FRIEND]},
    "proxied": {"trusted": [FRIEND], "trusted_proxies": ["127.0.0.1"]},
    "socket": {"trusted": ["unix"]},
    "behind": {"trusted": [FRIEND], "trusted_proxies": ["unix"]},
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server as it is started.

    Attributes:
        command: its command line; `{place}` is put in.
        unix: it listens on a Unix socket, not on a port.
        rewrites: whose address it replaces by one that the request names: of nobody, of `loopback` peers,
            or of `anybody`.
    """

    command: str
    unix: bool = False
    rewrites: str = "nobody"

    def argv(self, port: int, path: str) -> list[str]:
        """Its command line, without the interpreter's."""
        program, *rest = self.command.split()
        if program == "hypercorn":
            place = ["--bind", f"unix:{path}" if self.unix else f"127.0.0.1:{port}"]
        else:
            place = ["--uds", path] if self.unix else ["--host", "127.0.0.1", "--port", str(port)]
        return [program, *rest, *place]


_GRANIAN = "granian --interface asgi --log-level warning"
SERVERS: Final = {
    "uvicorn": Server("uvicorn proxies_app:plain", rewrites="loopback"),
    "uvicorn --no-proxy-headers": Server("uvicorn proxies_app:plain --no-proxy-headers"),
    "uvicorn allows *": Server("uvicorn proxies_app:plain --forwarded-allow-ips *", rewrites="anybody"),
    "hypercorn": Server("hypercorn proxies_app:plain"),
    "hypercorn legacy": Server("hypercorn proxies_app:legacy", rewrites="anybody"),
    "hypercorn modern": Server("hypercorn proxies_app:modern", rewrites="anybody"),
    "granian": Server(f"{_GRANIAN} proxies_app:plain"),
    "granian wrapped": Server(f"{_GRANIAN} proxies_app:wrapped", rewrites="loopback"),
    "uvicorn, unix": Server("uvicorn proxies_app:plain", unix=True),
    "uvicorn allows *, unix": Server(
        "uvicorn proxies_app:plain --forwarded-allow-ips *", unix=True, rewrites="anybody"
    ),
    "hypercorn, unix": Server("hypercorn proxies_app:plain", unix=True),
    "hypercorn legacy, unix": Server("hypercorn proxies_app:legacy", unix=True, rewrites="anybody"),
    "granian, unix": Server(f"{_GRANIAN} proxies_app:plain", unix=True),
    "granian wrapped, unix": Server(f"{_GRANIAN} proxies_app:wrapped", unix=True),
}

DIRECT: Final = "direct"
_1_1 = 'proxy_http_version 1.1; proxy_set_header Connection "";'
WAYS: Final = {
    "plain": "",
    "plain 1.1": _1_1,
    "plain 1.1, Host kept": f"{_1_1} proxy_set_header Host $host;",
    "remote_addr": "proxy_set_header X-Forwarded-For $remote_addr;",
    "remote_addr 1.1": f"{_1_1} proxy_set_header X-Forwarded-For $remote_addr;",
    "add_x_forwarded_for": "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "add_x_forwarded_for 1.1": f"{_1_1} proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "x-real-ip": "proxy_set_header X-Real-IP $remote_addr;",
    "x-real-ip 1.1": f"{_1_1} proxy_set_header X-Real-IP $remote_addr;",
    "forwarded": "proxy_set_header Forwarded for=$remote_addr;",
    "forwarded 1.1": f"{_1_1} proxy_set_header Forwarded for=$remote_addr;",
    "unbuffered": f"{_1_1} proxy_request_buffering off; proxy_set_header X-Forwarded-For $remote_addr;",
}
"""What nginx is told besides `proxy_pass`."""

PLAIN: Final = ("plain", "plain 1.1", "plain 1.1, Host kept")
TOLD: Final = tuple(way for way in WAYS if way not in PLAIN)
"""The ways on which nginx says for whom it asks."""
BARE: Final = tuple(way for way in WAYS if "1.1" in way)
"""The ways on which HTTP/1.0 does not give nginx away."""
TOLD_BARE: Final = tuple(way for way in BARE if way in TOLD)

FORGED: Final = {
    "nothing": {},
    "x-forwarded-for": {"X-Forwarded-For": FRIEND},
    "x-forwarded-for with a port": {"X-Forwarded-For": f"{FRIEND}:5555"},
    "x-forwarded-for with a port written oddly": {"X-Forwarded-For": f"{FRIEND}:05555"},
    "x-forwarded-for of nobody": {"X-Forwarded-For": ""},
    "x-forwarded-for of two": {"X-Forwarded-For": f"{FRIEND}, 127.0.0.1"},
    "x-real-ip": {"X-Real-IP": FRIEND},
    "forwarded": {"Forwarded": f"for={FRIEND}"},
    "everything": {
        "X-Forwarded-For": FRIEND,
        "X-Real-IP": FRIEND,
        "Forwarded": f"for={FRIEND}",
        "X-Forwarded-Host": "localhost",
        "X-Forwarded-Port": "5555",
        "X-Forwarded-Proto": "https",
    },
}
"""What a caller may write itself to be taken for the friend."""

HONEST: Final = ("nothing",)
BRIEFLY: Final = ("nothing", "everything")
ALL_FORGED: Final = tuple(name for name in FORGED if name != "nothing")
ALONE: Final = tuple(
    name for name, server in SERVERS.items() if not server.unix and server.rewrites == "nobody"
)
ON_UNIX: Final = tuple(
    name for name, server in SERVERS.items() if server.unix and server.rewrites == "nobody"
)
REWRITING: Final = tuple(name for name, server in SERVERS.items() if server.rewrites != "nobody")
REWRITING_TCP: Final = tuple(name for name in REWRITING if not SERVERS[name].unix)
REWRITING_UNIX: Final = tuple(name for name in REWRITING if SERVERS[name].unix)
ON_TCP: Final = tuple(name for name, server in SERVERS.items() if not server.unix)
CAREFUL: Final = tuple(name for name in ON_TCP if SERVERS[name].rewrites != "anybody")
GULLIBLE: Final = tuple(name for name in ON_TCP if SERVERS[name].rewrites == "anybody")


class Row(NamedTuple):
    """Who is served. Every combination of what it lists is asked for.

    Args:
        why: the rule that it shows.
        servers: names of `SERVERS`.
        ways: `direct`, and names of `WAYS`.
        rules: names of `RULES`.
        callers: the addresses from which it is asked; on a Unix socket a direct caller has none.
        forged: names of `FORGED`.
        status: the answer to all of them.
    """

    why: str
    servers: tuple[str, ...]
    ways: tuple[str, ...]
    rules: tuple[str, ...]
    callers: tuple[str, ...]
    forged: tuple[str, ...]
    status: int


BOTH: Final = (FRIEND, STRANGER)
WHATEVER: Final = tuple(FORGED)
TCP_RULES: Final = ("listed", "proxied", "default")
"""Rules that list nothing on a Unix socket."""

ROWS: Final = (
    Row("the friend is served directly", ON_TCP, (DIRECT,), TCP_RULES, (FRIEND,), HONEST, 200),
    Row("no stranger is served directly",
        ON_TCP, (DIRECT,), ("listed", "socket", "behind"), (STRANGER,), WHATEVER, 403),
    Row("no stranger is served directly past a listed proxy",
        CAREFUL, (DIRECT,), ("proxied",), (STRANGER,), WHATEVER, 403),
    Row("nothing is left to tell where the server rewrites anybody: see SECURITY.md",
        GULLIBLE, (DIRECT,), ("proxied",), (STRANGER,), ("x-forwarded-for", "everything"), 200),
    Row("a listed proxy asks for the friend", ALONE, TOLD, ("proxied",), (FRIEND,), HONEST, 200),
    Row("a listed proxy asks for a stranger", ALONE, TOLD_BARE, ("proxied",), (STRANGER,), WHATEVER, 403),
    Row("a listed proxy that says nothing", ALONE, PLAIN, ("proxied",), BOTH, HONEST, 403),
    Row("a proxy that is not listed", ALONE, tuple(WAYS), ("listed",), BOTH, BRIEFLY, 403),
    Row("HTTP/1.0 tells a plain proxy", ALONE, ("plain",), ("default",), BOTH, HONEST, 403),
    Row("a Host tells a plain proxy", ALONE, ("plain 1.1, Host kept",), ("default",), BOTH, HONEST, 403),
    Row("nothing tells it where both are hidden: see docs/trust.md",
        ALONE, ("plain 1.1",), ("default",), BOTH, HONEST, 200),
    Row("a listed proxy must set the header itself: see docs/trust.md",
        ALONE, PLAIN, ("proxied",), (STRANGER,), ("x-forwarded-for",), 200),
    Row("a peer on a listed socket", ON_UNIX, (DIRECT,), ("socket",), (FRIEND,), HONEST, 200),
    Row("a peer on a socket that is not listed", ON_UNIX, (DIRECT,), TCP_RULES, (FRIEND,), BRIEFLY, 403),
    Row("a proxy on a socket asks for the friend", ON_UNIX, TOLD, ("behind",), (FRIEND,), HONEST, 200),
    Row("a proxy on a socket asks for a stranger",
        ON_UNIX, TOLD_BARE, ("behind",), (STRANGER,), WHATEVER, 403),
    Row("a proxy on a socket that says nothing", ON_UNIX, (DIRECT, *PLAIN), ("behind",), BOTH, HONEST, 403),
    Row("a proxy on a socket that is not listed", ON_UNIX, tuple(WAYS), TCP_RULES, BOTH, BRIEFLY[1:], 403),
    Row("a peer that the server rewrote, and no proxy is listed",
        REWRITING, TOLD[:4], ("listed",), BOTH, HONEST, 403),
    Row("a peer that the server rewrote, and a proxy on this machine is listed",
        REWRITING_TCP, TOLD, ("proxied",), (FRIEND,), HONEST, 200),
    Row("a stranger whom the server took for the friend, and no proxy is listed",
        REWRITING, BARE, ("listed",), (STRANGER,), ALL_FORGED, 403),
    Row("a stranger whom the server took for the friend behind a proxy that says who asks",
        REWRITING_TCP, TOLD_BARE, ("proxied",), (STRANGER,), WHATEVER, 403),
    Row("a stranger whom the server took for the friend behind a proxy on a socket",
        REWRITING_UNIX, TOLD_BARE, ("behind",), (STRANGER,), WHATEVER, 403),
)  # fmt: skip


class Peer(NamedTuple):
    """What a server tells of a peer; FRIEND is whom the request names, STRANGER is who asks.

    Args:
        server: a name of `SERVERS`.
        way: `direct`, or a name of `WAYS`.
        forged: a name of `FORGED`.
        host: the first half of `scope["client"]`; None: there is no client.
        port: the second half; None: a port of the caller's, which nobody knows before.
    """

    server: str
    way: str
    forged: str
    host: str | None
    port: int | str | None = None


PEERS: Final = (
    *(Peer(server, DIRECT, "nothing", STRANGER) for server in ON_TCP),
    *(Peer(server, "plain", "x-forwarded-for", "127.0.0.1") for server in ALONE),
    *(Peer(server, "remote_addr", "nothing", STRANGER, 0) for server in REWRITING),
    *(Peer(server, "plain", "x-forwarded-for", FRIEND, 0) for server in REWRITING),
    *(Peer("uvicorn, unix", way, "nothing", None) for way in (DIRECT, "remote_addr")),
    *(Peer("hypercorn, unix", way, "nothing", None) for way in (DIRECT, "remote_addr")),
    *(Peer("granian, unix", way, "nothing", "", "0") for way in (DIRECT, "remote_addr")),
    *(Peer("granian wrapped, unix", way, "nothing", "", "0") for way in (DIRECT, "remote_addr")),
    Peer("uvicorn", DIRECT, "x-forwarded-for", STRANGER),
    Peer("uvicorn", "plain", "x-forwarded-for with a port", FRIEND, 5555),
    Peer("uvicorn allows *", DIRECT, "x-forwarded-for", FRIEND, 0),
    Peer("uvicorn allows *", "add_x_forwarded_for", "x-forwarded-for", FRIEND, 0),
    Peer("hypercorn legacy", DIRECT, "x-forwarded-for", FRIEND, 0),
    Peer("hypercorn legacy", "plain", "x-forwarded-for with a port", f"{FRIEND}:5555", 0),
    Peer("hypercorn modern", "remote_addr", "forwarded", FRIEND, 0),
    Peer("granian wrapped", "plain", "x-forwarded-for with a port", f"{FRIEND}:5555", 0),
)  # fmt: skip
"""What the rules build on: a peer has a port, mostly 0 if the server put it there; on a socket no address."""
