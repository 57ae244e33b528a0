"""Trust by address: any peer, any forwarding header, any `Host`, `Origin` and `Sec-Fetch-Site`."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from random import Random
from time import thread_time
from typing import Any, Final, NamedTuple

from wxtoken_asgi.access import Access
from wxtoken_asgi.clients import Client
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.forwarding import FORWARDED, FORWARDING, from_the_right, parse_address
from wxtoken_asgi.keys import Key
from wxtoken_asgi.shortcut import _Passes

from .chance import bent, blob, often, some, spiced, text
from .tally import Target, must

MOST_S: Final = 2.0
"""Processor time that one request's headers may take, on a busy machine; it is mostly a thousandth of it."""

STRANGER: Final = "203.0.113.9"
FRIEND: Final = "10.1.2.3"
PROXY: Final = "192.0.2.1"
LOOPBACK: Final = ("127.0.0.1", "::1", "127.8.9.10", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1", "::1%lo")
PEERS: Final = (
    *LOOPBACK,
    STRANGER,
    FRIEND,
    f"::ffff:{FRIEND}",
    PROXY,
    "10.1.2.30",
    "2001:db8::7",
    "fe80::1%eth0",
)
NAMES: Final = ("", "testclient", "/run/app.sock", "unix:", "localhost", "127.1", "127.0.0.1:80", "\ud800")
ADDRESSES: Final = ("127.0.0.1", "::1", FRIEND, PROXY, STRANGER, "8.8.8.8", "2001:db8::1", "::ffff:10.1.2.3")

CHAIN: Final = (
    *(address.encode() for address in ADDRESSES),
    *b', ;,=,",\\,[,],:,%,\t, ,\xa0,\0'.split(b","),
    b", ",
    b",",
    b";",
    b"for=",
    b"For=",
    b'for="',
    b'for="[',
    b']:80"',
    b"by=",
    b"host=",
    b"proto=https",
    b"unknown",
    b"_hidden",
    b":443",
    b":_x",
    b"127.0.0.1:80",
    b"[::1]:80",
    b'"[::1]"',
    b'for=127.0.0.1;x=", for=',
    b"0x7f000001",
    b"\xd9\xa1\xd9\xa2",
)
HOSTS: Final = (
    *b"localhost,LocalHost,127.0.0.1,127.9.9.9,[::1],::1,tokens.lan,TOKENS.lan.,evil.example".split(b","),
    *b".,:,:80,:0080,:99999,@,/,#,?,%,[,],_,-, ,\t,\0,\xff,xn--,localhost.".split(b","),
)
KEY: Final = "wxk_of-a-client-from-anywhere-000000000000000000"
BOUND_KEY: Final = "wxk_of-a-client-of-one-network-00000000000000000"
ENDED_KEY: Final = "wxk_that-has-ended-00000000000000000000000000000"
CLIENTS: Final = (
    Client("crm", keys=(Key.of(KEY).line, Key.of(ENDED_KEY, 1.0).line), may=("read",)),
    Client("bound", keys=(Key.of(BOUND_KEY).line,), networks=("10.1.2.0/24", "127.0.0.1")),
    Client("lan", networks=("2001:db8::/64",), may=("read",)),
)
GOOD_KEYS: Final = (f"Bearer {KEY}".encode(), f"bearer   {KEY} ".encode())
KEYS: Final = (
    *GOOD_KEYS,
    f"Bearer {BOUND_KEY}".encode(),
    f"Bearer {ENDED_KEY}".encode(),
    f"Bearer {KEY}x".encode(),
    *b"Bearer,Bearer ,bearer\t,Basic dXNlcjpwYXNz,Token x,, ,Bearer \xff,BEARER a b".split(b","),
)
SITES: Final = (b"none", b"None", b"same-origin", b"cross-site", b"", b"none ", b"none,none")
VERSIONS: Final = ("1.1", "1.1", "1.1", "2", "3", "1.0", "1", "", "0.9", None)


class Rules(NamedTuple):
    """A setting of who is trusted, and what it says."""

    trusted: tuple[str, ...]
    proxies: tuple[str, ...]
    clients: tuple[Client, ...]
    access: Access

    def lists(self, which: tuple[str, ...], peer: Any) -> bool:
        """What the setting says of a peer, read another way than the package does."""
        try:
            address = ip_address(peer.partition("%")[0] if ":" in peer else peer)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in ip_network(network) for network in which)


def rules(rng: Random) -> Rules:
    trusted = rng.choice((("127.0.0.0/8", "::1"), ("127.0.0.0/8", "::1", "10.1.2.3/32"), ("10.0.0.0/8",), ()))
    proxies = rng.choice(((), (PROXY,), ("192.0.2.0/24", "127.0.0.1")))
    clients = rng.choice(((), CLIENTS))
    hosts = rng.choice(((), ("tokens.lan",)))
    access = Access(trusted=trusted, trusted_proxies=proxies, hosts=hosts, clients=clients, clock=Clock(1))
    return Rules(trusted, proxies, clients, access)


def scope(rng: Random) -> dict[str, Any]:
    """What of a scope trust may hang on; keys that a server may leave out are missing sometimes."""
    made: dict[str, Any] = {"type": "http", "headers": headers(rng), "method": "GET", "query_string": b""}
    version = rng.choice(VERSIONS)
    if version is not None:
        made["http_version"] = version
    if often(rng, 0.95):
        made["client"] = client(rng)
    return made


def client(rng: Random) -> Any:
    """A scope's `client`, as servers write it and as they might."""
    if often(rng, 0.85):
        host = rng.choice(PEERS)
        return rng.choice(((host, 50_000), (host, 80), [host, 50_000], (host, None), (host,), (host, 0)))
    return rng.choice((None, (), [], (rng.choice(NAMES), 0), (text(rng), 1), (None, 1)))


def headers(rng: Random) -> Any:
    """Headers, mostly with a good `Host` among them."""
    pairs = [header(rng) for _ in range(rng.randint(0, 4))]
    if often(rng, 0.7):
        host = rng.choice((b"localhost", b"127.0.0.1:8000", b"[::1]"))
        pairs.insert(rng.randint(0, len(pairs)), (b"host", host))
    return rng.choice((list, tuple))(map(rng.choice((tuple, list)), pairs))


def header(rng: Random) -> tuple[bytes, bytes]:
    match rng.randint(0, 10):
        case 10:
            return b"authorization", rng.choice((*KEYS, blob(rng)))
        case 0:
            return b"host", spiced(rng, HOSTS, 3)
        case 1:
            return b"origin", rng.choice((b"null", b"", b"http://localhost", blob(rng)))
        case 2:
            return b"sec-fetch-site", rng.choice(SITES)
        case 3:
            return rng.choice((b"accept", b"X-Forwarded-For", b"via", b"", b"if-none-match")), blob(rng)
        case _:
            return rng.choice(FORWARDING), chain(rng)


def chain(rng: Random) -> bytes:
    """The value of a forwarding header."""
    match rng.randint(0, 3):
        case 0:
            return b", ".join(some(rng, [address.encode() for address in ADDRESSES], 4))
        case 1:
            return b", ".join(b"for=" + word for word in some(rng, CHAIN, 4))
        case 2:
            return bent(rng, b'127.0.0.1, for="[::1]:80";proto=https, 10.1.2.3:443, unknown')
        case _:
            return spiced(rng, CHAIN)


def case(rng: Random, steps: int) -> int:
    """Many requests to one service, which remembers what it has seen."""
    setting = rules(rng)
    passes = _Passes(setting.access, _Time)
    for _ in range(steps):
        begun = thread_time()
        asked = scope(rng)
        _decide(setting, passes, asked, rng)
        _appended(setting, rng)
        _chain(rng)
        must(thread_time() - begun < MOST_S, "headers cost next to nothing", asked)
    return 3 * steps


class _Time:
    """What the short way wants of a manager."""

    clock = Clock(1)


def _decide(setting: Rules, passes: _Passes, asked: dict[str, Any], rng: Random) -> None:
    access, given = setting.access, (setting, asked)
    refusal = access.refusal(asked)
    must(access.refusal(asked) == refusal, "asked again it says the same", *given)
    keys = [bytes(value) for name, value in asked["headers"] if name == b"authorization"]
    by_key = _judge_keys(setting, keys, refusal, given)
    must(refusal is None or (refusal.isprintable() and len(refusal) < 300), "one clean line", *given)
    peer = (asked.get("client") or [None])[0]
    trusted = isinstance(peer, str) and setting.lists(setting.trusted, peer)
    proxy = isinstance(peer, str) and setting.lists(setting.proxies, peer)
    of_client = by_key or (setting.clients and isinstance(peer, str) and "2001:db8" in peer)
    must(refusal or trusted or proxy or of_client, "a stranger is refused", *given)
    if _is_known(passes, asked):
        must(refusal is None, "the short way is for those only who may", *given)
    if refusal and not proxy:
        further = [*asked["headers"]]
        further.insert(rng.randint(0, len(further)), (rng.choice(FORWARDING), chain(rng)))
        more = asked | {"headers": further}
        must(access.refusal(more), "a forwarding header never opens", *given, more)


def _judge_keys(setting: Rules, keys: list[bytes], refusal: str | None, given: tuple[Any, ...]) -> bool:
    """Whether the request brings a key that counts; a wrong one never does, whoever sends it."""
    sent = [line.strip().partition(b" ") for line in keys]
    bearers = [rest.strip() for scheme, _, rest in sent if scheme.lower() == b"bearer"]
    if not bearers:
        return False
    good = {KEY.encode(), BOUND_KEY.encode()} if setting.clients else set()
    must(refusal or (len(bearers) == 1 and bearers[0] in good), "a wrong key is refused", *given)
    if bearers == [KEY.encode()] and setting.clients:
        must(refusal is None, "a right key is heard from anywhere", *given)
    return refusal is None


def _is_known(passes: _Passes, asked: dict[str, Any]) -> bool:
    """What the hot path makes of it."""
    who = asked.get("client")
    if not who or who[-1] == 0:
        return False
    seen = passes.seen.get(who[0])
    if seen is not None and seen[:2] == (asked["headers"], asked.get("http_version")):
        return True
    return passes.examine(asked) is not None


def _appended(setting: Rules, rng: Random) -> None:
    """A proxy appends whom it asks for to whatever that one has sent."""
    kind, sent, whom = rng.choice(FORWARDING[::2]), chain(rng), rng.choice((STRANGER, FRIEND))
    own = (b"for=" if kind == FORWARDED else b"") + whom.encode()
    lines = [sent + b", " + own] if often(rng, 0.5) else [sent, own]
    asked = {"client": (PROXY, 1), "http_version": "1.1", "headers": [(kind, line) for line in lines]}
    refusal, given = setting.access.refusal(asked), (setting, asked)
    believed = setting.lists(setting.proxies, PROXY)
    may = believed and setting.lists(setting.trusted, whom)
    must(may or refusal, "what a caller sends does not hide whom the proxy names", *given)
    if may and kind != FORWARDED and max(map(len, lines)) < 4000:
        must(refusal is None, "what a caller sends does not harm whom the proxy names", *given)


def _chain(rng: Random) -> None:
    kind, lines = rng.choice(FORWARDING), [chain(rng) for _ in range(rng.randint(0, 3))]
    found = list(from_the_right(kind, lines))
    must(bool(lines) <= len(found) <= 65, "a chain is bounded, and none without a line", kind, lines)
    for address in found:
        must(address is None or parse_address(str(address)) == address, "an address is clean", kind, lines)
    _written(rng)


def _written(rng: Random) -> None:
    """What careful programs write is read back."""
    walked = some(rng, ADDRESSES, 6) or [STRANGER]
    nodes = [f"[{one}]" if ":" in one else one for one in walked]
    port = rng.choice(("", ":80"))
    plain = ", ".join(node + port for node in nodes)
    quoted = ",".join(f'proto=https;for="{node}{port}"' for node in nodes)
    wanted = [parse_address(one) for one in reversed(walked)]
    must(list(from_the_right(FORWARDING[0], [plain.encode()])) == wanted, "it is read back", plain)
    must(list(from_the_right(FORWARDED, [quoted.encode()])) == wanted, "it is read back", quoted)


TARGET: Final = Target("headers", case, 50)
