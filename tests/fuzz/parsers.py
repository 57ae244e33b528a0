"""Every small function that reads what others wrote: bodies, queries, addresses, WeChat's texts, settings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from random import Random
from time import thread_time
from typing import Any, Final
from unicodedata import normalize
from urllib.parse import quote, urlsplit

from starlette._utils import get_route_path

from wxtoken_asgi import endpoints, errcodes, jssdk, pages
from wxtoken_asgi.access import Access
from wxtoken_asgi.bodies import BadBodyError, _report
from wxtoken_asgi.errors import BadUrl, ConfigError, UnknownAccount
from wxtoken_asgi.records import Account
from wxtoken_asgi.routes import checked_prefix, route_path

from .chance import bent, blob, json_text, json_value, often, some, spiced, text
from .tally import Target, must

MOST_S: Final = 2.0
"""Processor time that one input may take, on a busy machine; it is mostly a thousandth of it."""

LONGEST: Final = 100_000
"""Nothing that is read here is longer: neither a request's head nor an answer of WeChat's."""

CANARY: Final = "5ecre7ab1e5ecre7ab1e5ecre7ab1e42"
WORD: Final = re.compile(r"[A-Za-z0-9_-]{16,1024}")

BODIES: Final = (
    *(b"{}", b"null", b'""', b"[]", b"0", b'{"access_token":', b'"', b"}", b"{", b",", b":", b"\\u0000"),
    *(
        b"110_" + b"x" * 40,
        b"x" * 15,
        b"x" * 1024,
        b"x" * 1025,
        b"access_token=",
        b" ",
        b"\n",
        b"\xef\xbb\xbf",
    ),
    *(b"\xff", b"NaN", b"-Infinity", b"1e999", b"[" * 3000, b"9" * 4000, b"\\ud800", b"\\ud83d\\ude00"),
)
QUERIES: Final = (
    *(b"format=", b"json", b"text", b"&", b"=", b"%", b"%00", b"%E4", b"+", b";", b"#", b"format"),
    *(b"%66ormat=json", b"Format=json", b"\xff", b"url=", b"https%3A%2F%2Fa.example%2F", b"%zz"),
)
TAGS: Final = (b'"', b"W/", b"*", b",", b" ", b"\t", b'W/"', b"w/", b'"x"', b"\xff", b"\\")
WISHES: Final = (
    *(b"return", b"=", b"representation", b"minimal", b";", b",", b'"', b" ", b"\t", b"wait=5", b"Return"),
    *(b"REPRESENTATION", b"\xff", b"return=representation", b"respond-async"),
)
URLS: Final = (
    *("http://", "https://", "HTTPS://", "ftp://", "//", "/", "?", "#", "@", ":", ":80", ":99999", ":٨٠"),
    *(
        "a.example",
        "www.b.example",
        "evil.example",
        "[::1]",
        "[",
        "]",
        "xn--",
        "xn--fiqs8s",
        "中国",
        "%",
        "%2f",
    ),
    *("。", "．", "/a?b=1", "..", ".", "ｈttp", "\\", "user:pass@", "\u00ad", "\u200d", "ß", "ẞ", "İ"),
)
ERRMSGS: Final = (
    *("invalid ip ", "1.2.3.4", "::ffff:1.2.3.4", " ipv6 ", ", not in whitelist", "requestIP: ", "from ip: "),
    *("rid: ", "6aac005a-01bfdbee-79769285", "-", "999.1.1.1", "1" * 60, ":", ".", "\n", CANARY, "hint: ["),
    *("::::", "fe80::1%eth0", "\u2028", "\ud800", "%s", "{0}"),
)
PATHS: Final = ("/", "//", "wx", "/wx", "token", "alpha", ".", "..", "%2F", "?", "#", " ", "中", "\0", "*")
NETWORKS: Final = (
    *("127.0.0.1", "10.0.0.0", "/8", "/33", "/", "::1", "::ffff:10.0.0.0", "/104", "/128", "fe80::1%eth0"),
    *("localhost", ".", ":", " ", "0", "256", "[", "]", "*", "/08", "/-1", "0.0.0.0", "a.example", ":80"),
)


def _said(raised: Exception, *given: object) -> str:
    """An error's text, which must be one line without a secret."""
    said = str(raised)
    must(
        said and len(said.splitlines()) == 1 and said.isprintable(),
        "an error is one clean line",
        said,
        *given,
    )
    must(CANARY not in said, "an error tells no secret", said, *given)
    return said


def _joined(rng: Random, fragments: tuple[str, ...], most: int = 6) -> str:
    parts = some(rng, fragments, most)
    if parts and often(rng, 0.15):
        parts.insert(rng.randint(0, len(parts)), text(rng, 4, surrogates=True))
    if parts and often(rng, 0.02):
        parts.append(rng.choice(parts) * rng.choice((64, 5000)))
    return "".join(parts)[:LONGEST]


# what callers send


def body(rng: Random) -> None:
    """The body of a `PUT`."""
    field = rng.choice(("access_token", "ticket"))
    good = json_text({field: rng.choice(("dead-token-of-old", "", "x", json_value(rng)))})
    content = rng.choice((good, bent(rng, good), spiced(rng, BODIES), json_text(json_value(rng)), blob(rng)))
    try:
        dead = _report(content.strip(), field)
    except BadBodyError as bad:
        must((bad.status, bad.code) == (400, "bad_body"), "a bad body is 400", content)
        _said(bad, content)
        return
    word = content.strip().decode("latin-1")
    if WORD.fullmatch(word):
        must(dead == word, "a word is a report", content)
    elif dead is not None:
        must(dead and json.loads(content.strip())[field] == dead, "JSON is a report", content)


def query(rng: Random) -> None:
    """What asks for a form, for nothing new, or for the value."""
    given = spiced(rng, QUERIES)
    must(endpoints._form(given) in {"text", "json", None}, "a query asks for a form", given)
    etag = b'"abc"'
    tags = spiced(rng, (*TAGS, etag))
    seen = endpoints._matches(tags, etag)
    must(not seen or etag in tags or b"*" in tags, "only the same tag matches", tags)
    wishes = [(b"prefer", spiced(rng, WISHES)) for _ in range(rng.randint(0, 3))]
    wants = endpoints._wants_value({"headers": wishes})
    heard = b"".join(value.lower() for _, value in wishes)
    must(not wants or (b"return" in heard and b"representation" in heard), "a wish is said", wishes)


def page(rng: Random) -> None:
    """The address of a page, and the origin of one."""
    url = _joined(rng, URLS) if often(rng, 0.5) else "https://" + _joined(rng, URLS)
    domains = rng.choice(((), ("a.example",), ("*.b.example",), ("中国", "a.example", "*.b.example")))
    try:
        signed = jssdk.page_url(url)
        allowed = jssdk.host_allowed(url, domains)
        config = jssdk.js_config("wx1", "ticket", url, timestamp=1, nonce="n")
    except BadUrl as bad:
        said = _said(bad, url)
        long = [part for part in re.split(r"[#/?&=]", url) if len(part) > 16 and part.isalnum()]
        must(not any(part in said for part in long), "an error does not repeat the address", url, said)
        return
    must(signed == url.partition("#")[0] == config.url, "nothing is changed but for the fragment", url)
    must(jssdk.page_url(signed) == signed, "what is signed could be asked for", url)
    must(signed.isascii() or signed.encode(), "it can be hashed", url)
    _same_host(url, signed, domains, allowed=allowed)
    _origin(url, domains, allowed=allowed)


def _same_host(url: str, signed: str, domains: tuple[str, ...], *, allowed: bool) -> None:
    """An allowed host is also one as Python reads the address, which is not as strict."""
    if not (allowed and domains and signed.isascii()):
        return
    try:
        host = urlsplit(signed).hostname or ""
    except ValueError:
        return
    host = normalize("NFKC", host).lower().removesuffix(".")
    good = host in {"a.example", "xn--fiqs8s"} or host.endswith(".b.example")
    must(good, "an allowed host is one of js_domains", url, domains)


def _origin(url: str, domains: tuple[str, ...], *, allowed: bool) -> None:
    account = Account("alpha", "wx1", CANARY, js_domains=domains)
    ours = pages._is_ours(url.encode("utf-8", "surrogatepass"), account)
    must(not ours or allowed, "an origin is looked at as a page is", url, domains)


def app(rng: Random) -> None:
    """The `{app}` of a path that no account has, which is repeated."""
    name = text(rng, 70, surrogates=True)
    said = _said(UnknownAccount(name), name)
    must(len(name) <= 64 or name not in said, "what is too long for a name is not repeated", name)


def path(rng: Random) -> None:
    """The path below `root_path`, as Starlette sees it."""
    whole, root = _joined(rng, PATHS), _joined(rng, PATHS, 2)
    if often(rng, 0.3):
        whole = root + whole
    scope = {"path": whole, "root_path": root}
    must(route_path(whole, root) == get_route_path(scope), "Starlette sees the same path", whole, root)


# what WeChat says


def errmsg(rng: Random) -> None:
    """WeChat's text, of which only an address and a `rid` are taken."""
    code = rng.choice((0, -1, 40001, 40164, 45035, 60020, 61004, 99999, -(2**70), rng.randint(-2, 100_000)))
    given = _joined(rng, ERRMSGS, 10)
    wecom, here = often(rng, 0.3), often(rng, 0.5)
    said = errcodes.explain(code, given, at_token_endpoint=here, wecom=wecom)
    must(said.isprintable() and CANARY not in said and len(said) < 1000, "one clean line", code, given, said)
    errcodes.classify(code, at_token_endpoint=here, wecom=wecom)
    seen = errcodes.seen_ip(given)
    must(seen is None or str(ip_address(seen)) == seen, "an address is valid", given, seen)


# settings


def prefix(rng: Random) -> None:
    given = rng.choice((_joined(rng, PATHS), json_value(rng)))
    try:
        taken = checked_prefix(given)
    except ConfigError as wrong:
        _said(wrong, given)
        return
    must(not taken or (taken.startswith("/") and not taken.endswith("/")), "a prefix is a path", given)


def networks(rng: Random) -> None:
    field = rng.choice(("trusted", "trusted_proxies", "hosts"))
    entries: Any = [_joined(rng, NETWORKS, 3) for _ in range(rng.randint(0, 3))]
    if often(rng, 0.2):
        entries = json_value(rng)
    try:
        access = Access(**{field: entries})
    except ConfigError as wrong:
        must(field in _said(wrong, entries), "the field is named", entries)
        return
    access.refusal({"client": ("203.0.113.9", 1), "headers": [], "http_version": "1.1"})


def account(rng: Random) -> None:
    """An account with one wrong value, or none; its secret and its proxy's password are never shown."""
    options: dict[str, Any] = {"name": "alpha", "appid": "wx1", "secret": CANARY}
    name = rng.choice(
        (*options, "endpoint", "tickets", "js_domains", "daily_quota", "api_base", "proxy", "timeout")
    )
    options[name] = rng.choice((json_value(rng), text(rng), f"https://{text(rng, 6)}", [text(rng, 6)]))
    if name in {"secret", "proxy"}:
        options[name] = rng.choice((f"{CANARY}{text(rng, 4)}", f"http://user:{CANARY}@{text(rng, 6)}"))
    try:
        made = Account(**options)
    except ConfigError as wrong:
        said = _said(wrong, name)
        must(name in said and said.startswith("account"), "account and field are named", name, said)
        return
    must(CANARY not in repr(made), "a repr shows no secret", name)
    must(quote(made.name), "a name can stand in a path", name)


READERS: Final[tuple[Callable[[Random], None], ...]] = (
    *(body, body, query, query, page, page, app, path, errmsg, prefix, networks, account),
)


def case(rng: Random, steps: int) -> int:
    """Inputs for one of them after another."""
    for _ in range(steps):
        begun, reader = thread_time(), rng.choice(READERS)
        reader(rng)
        must(thread_time() - begun < MOST_S, "reading costs next to nothing", reader.__name__)
    return steps


TARGET: Final = Target("parsers", case, 100)
