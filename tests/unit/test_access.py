"""Who may read and refresh."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxtoken_asgi.access import DEFAULT_TRUSTED, Access, Networks
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.forwarding import FORWARDING

HOST = "host: localhost"
PROXY = "192.0.2.1"
SHORT = {"xff": "x-forwarded-for", "xri": "x-real-ip", "fwd": "forwarded", "site": "sec-fetch-site"}


def _pair(line):
    name, value = line.split(": ", 1)
    return SHORT.get(name, name).encode(), value.encode("latin-1")


def _scope(peer, *headers, http="1.1"):
    pairs = [_pair(line) for line in headers]
    return {"type": "http", "client": peer and (peer, 50000), "http_version": http, "headers": pairs}


def _cases(*rows):
    """Rows of id, peer, headers, and what the refusal says (None: there is none)."""
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in rows]


def _check(access, scope, wanted):
    reason = access.refusal(scope)
    assert access.refusal(scope) == reason, "the remembered decision differs"
    if wanted is None:
        assert reason is None
    else:
        assert reason is not None
        assert re.search(wanted, reason), reason


LOOPBACK = _cases(
    ("plain", "127.0.0.1", [HOST], None),
    ("another address of 127/8", "127.8.9.10", [HOST], None),
    ("IPv6", "::1", [HOST], None),
    ("IPv6 written out", "0:0:0:0:0:0:0:1", [HOST], None),
    ("IPv4-mapped", "::ffff:127.0.0.1", [HOST], None),
    ("with a zone", "::1%lo", [HOST], None),
    ("other headers", "127.0.0.1", ["user-agent: curl", HOST, "accept: */*", "via: x"], None),
    ("host with port", "127.0.0.1", ["host: localhost:8000"], None),
    ("host with empty port", "127.0.0.1", ["host: localhost:"], None),
    ("host in capitals", "127.0.0.1", ["host: LocalHost:80"], None),
    ("host with a dot at its end", "127.0.0.1", ["host: localhost.:80"], None),
    ("host is the IPv4 address", "127.0.0.1", ["host: 127.0.0.1:8000"], None),
    ("host is of 127/8", "127.0.0.1", ["host: 127.1.2.3"], None),
    ("host is the IPv6 address", "::1", ["host: [::1]:8000"], None),
    ("host is the IPv6 address alone", "::1", ["host: [::1]"], None),
    ("host is the mapped address", "::1", ["host: [::ffff:127.0.0.1]"], None),
    ("host is in hosts", "127.0.0.1", ["host: Tokens.Internal:80"], None),
    ("host in hosts was written with a dot", "127.0.0.1", ["host: dotted.internal"], None),
    ("host in hosts is an IPv6 address", "127.0.0.1", ["host: [2001:db8::5]:80"], None),
    ("no host", "127.0.0.1", [], "127.0.0.1 sent no Host.*hosts"),
    ("two hosts", "127.0.0.1", [HOST, HOST], "127.0.0.1 sent several Host"),
    ("two hosts, one foreign", "127.0.0.1", [HOST, "host: evil.example"], "several Host"),
    ("authority is not host", "127.0.0.1", [":authority: localhost"], "no Host"),
    ("foreign host", "127.0.0.1", ["host: evil.example"], "127.0.0.1 sent a Host that is .* in hosts"),
    ("foreign host with port", "127.0.0.1", ["host: evil.example:8000"], "in hosts"),
    ("an upstream's name", "127.0.0.1", ["host: backend"], "in hosts"),
    ("below localhost", "127.0.0.1", ["host: a.localhost"], "in hosts"),
    ("above localhost", "127.0.0.1", ["host: localhost.evil.example"], "in hosts"),
    ("below a name in hosts", "127.0.0.1", ["host: a.tokens.internal"], "in hosts"),
    ("two dots at its end", "127.0.0.1", ["host: localhost.."], "in hosts"),
    ("only a dot", "127.0.0.1", ["host: ."], "in hosts"),
    ("empty host", "127.0.0.1", ["host: "], "in hosts"),
    ("host with a user", "127.0.0.1", ["host: x@localhost"], "in hosts"),
    ("host with a path", "127.0.0.1", ["host: localhost/x"], "in hosts"),
    ("host with a blank", "127.0.0.1", ["host: localhost x"], "in hosts"),
    ("host with a line end", "127.0.0.1", ["host: localhost\n"], "in hosts"),
    ("host list", "127.0.0.1", ["host: localhost,evil.example"], "in hosts"),
    ("host with a word as port", "127.0.0.1", ["host: localhost:evil"], "in hosts"),
    ("host with a long port", "127.0.0.1", ["host: localhost:800000"], "in hosts"),
    ("host IPv6 without brackets", "::1", ["host: ::1"], "in hosts"),
    ("host IPv4 in brackets", "127.0.0.1", ["host: [127.0.0.1]"], "in hosts"),
    ("host is short for loopback", "127.0.0.1", ["host: 127.1"], "in hosts"),
    ("host is the number of loopback", "127.0.0.1", ["host: 2130706433"], "in hosts"),
    ("host is a public address", "127.0.0.1", ["host: 8.8.8.8"], "in hosts"),
    ("host is any address", "127.0.0.1", ["host: 0.0.0.0:8000"], "in hosts"),
    ("host begins as loopback", "127.0.0.1", ["host: 127.0.0.1.evil.example"], "in hosts"),
    ("host with a Kelvin sign", "127.0.0.1", ["host: to\xe2\x84\xaaens.internal"], "in hosts"),
    ("host beyond ASCII", "127.0.0.1", ["host: loc\xe4lhost"], "in hosts"),
    ("very long host", "127.0.0.1", ["host: " + "a" * 60000], "in hosts"),
    ("origin", "127.0.0.1", [HOST, "origin: http://evil.example"], "127.0.0.1 sent an Origin.*trusted"),
    ("own origin", "127.0.0.1", [HOST, "origin: http://localhost"], "Origin"),
    ("null origin", "127.0.0.1", [HOST, "origin: null"], "Origin"),
    ("empty origin", "127.0.0.1", [HOST, "origin: "], "Origin"),
    ("typed into a browser", "127.0.0.1", [HOST, "site: none"], None),
    ("cross site", "127.0.0.1", [HOST, "site: cross-site"], "Sec-Fetch-Site.*trusted"),
    ("same site", "127.0.0.1", [HOST, "site: same-site"], "Sec-Fetch-Site"),
    ("same origin", "127.0.0.1", [HOST, "site: same-origin"], "Sec-Fetch-Site"),
    ("empty site", "127.0.0.1", [HOST, "site: "], "Sec-Fetch-Site"),
    ("none and cross site", "127.0.0.1", [HOST, "site: none", "site: cross-site"], "Sec-F"),
    ("forwards for loopback", "127.0.0.1", [HOST, "xff: 127.0.0.1"], None),
    ("forwards for loopback and LAN", "127.0.0.1", [HOST, "xff: 10.1.1.1, [::1]:80"], None),
    ("forwards by all three", "127.0.0.1", [HOST, "xff: ::1", "xri: ::1", "fwd: for=_x"],
     "peer 127.0.0.1 is not in trusted_proxies, and names somebody unknown in forwarded"),
    ("three that agree", "::1", [HOST, "xff: ::1", "xri: ::1", 'fwd: for="[::1]"'], None),
    ("forwards for a stranger", "127.0.0.1", [HOST, "xff: 8.8.8.8"],
     "127.0.0.1 is not in trusted_proxies, and names 8.8.8.8 in x-forwarded-for"),
    ("stranger to the right", "127.0.0.1", [HOST, "xff: 127.0.0.1, 8.8.8.8"], "names 8.8.8.8"),
    ("stranger to the left", "127.0.0.1", [HOST, "xff: 8.8.8.8,127.0.0.1"], "names 8.8.8.8"),
    ("stranger in the first line", "127.0.0.1", [HOST, "xff: 8.8.8.8", "xff: ::1"], "8.8.8.8"),
    ("stranger in x-real-ip", "127.0.0.1", [HOST, "xri: 8.8.8.8"], "names 8.8.8.8 in x-real-ip"),
    ("stranger in forwarded", "127.0.0.1", [HOST, "fwd: for=8.8.8.8"], "names 8.8.8.8 in forwarded"),
    ("stranger in the second kind", "127.0.0.1", [HOST, "xff: ::1", "xri: 8.8.8.8"], "8.8.8.8"),
    ("empty forwarding header", "127.0.0.1", [HOST, "xff: "], "somebody unknown in x-forwarded-for"),
    ("forwarded without for", "127.0.0.1", [HOST, "fwd: proto=https"], "somebody unknown in forwarded"),
    ("forwards for unknown", "127.0.0.1", [HOST, "xff: unknown"], "somebody unknown"),
    ("forwards but no host", "127.0.0.1", ["xff: 127.0.0.1"], "no Host"),
    ("foreign header before host", "127.0.0.1", ["xri: 127.0.0.1", "host: evil.example"], "in hosts"),
)  # fmt: skip

OTHERS = _cases(
    ("LAN", "10.0.0.5", ["host: tokens.example"], None),
    ("LAN without host", "10.0.0.5", [], None),
    ("LAN IPv4-mapped", "::ffff:10.0.0.5", [], None),
    ("LAN IPv6", "fd00::5", [], None),
    ("link-local with a zone", "fe80::5%eth0", [], None),
    ("LAN two hosts", "10.0.0.5", [HOST, HOST], None),
    ("LAN origin", "10.0.0.5", ["origin: http://a.example"], "10.0.0.5 sent an Origin"),
    (
        "LAN cross site",
        "10.0.0.5",
        ["host: x", "site: cross-site"],
        "10.0.0.5 sent a Sec-Fetch-Site",
    ),
    ("LAN forwards for LAN", "10.0.0.5", ["xff: 10.0.0.6, fd00::7"], None),
    ("LAN forwards for a stranger", "10.0.0.5", ["host: x", "xff: 8.8.8.8"], "10.0.0.5.*8.8.8.8"),
    ("LAN forwards for a proxy", "10.0.0.5", ["xff: 192.0.2.1"], "names 192.0.2.1"),
    ("stranger", "8.8.8.8", [HOST], "peer 8.8.8.8 is not in trusted$"),
    ("stranger says loopback", "8.8.8.8", [HOST, "xff: 127.0.0.1"], "8.8.8.8 is not in trusted"),
    ("stranger IPv6", "2001:db8::8", [HOST], "peer 2001:db8::8 is not in trusted"),
    ("stranger by the end of its digits", "210.0.0.5", [], "210.0.0.5 is not in trusted"),
    ("just beside the network", "11.0.0.0", [], "11.0.0.0 is not in trusted"),
    ("compatible is not mapped", "::10.0.0.5", [], "::a00:5 is not in trusted"),
    ("no client", None, [HOST], "no IP address.*trusted"),
    ("unix socket", "/run/wx.sock", [HOST], "no IP address"),
    ("a name", "localhost", [HOST], "no IP address"),
    ("empty", "", [HOST], "no IP address"),
    ("short form", "127.1", [HOST], "no IP address"),
    ("with port", "127.0.0.1:80", [HOST], "no IP address"),
    ("with a line end", "127.0.0.1\n", [HOST], "no IP address"),
    ("packed", b"\x7f\x00\x00\x01", [HOST], "no IP address"),
    ("number", 2130706433, [HOST], "no IP address"),
    ("list", ["127.0.0.1"], [HOST], "no IP address"),
)

PROXIES = _cases(
    ("no header", PROXY, [HOST], "192.0.2.1 is in trusted_proxies, but sent no forwarding header"),
    ("nothing at all", PROXY, [], "no forwarding header"),
    ("client in trusted", PROXY, ["xff: 10.0.0.5"], None),
    ("proxy IPv4-mapped", "::ffff:192.0.2.1", ["xff: 10.0.0.5"], None),
    ("any host", PROXY, ["host: evil.example", "xff: 10.0.0.5"], None),
    ("client with port", PROXY, ["xff: 10.0.0.5:4000"], None),
    ("client IPv6 with port", PROXY, ["xff: [fd00::5]:4000"], None),
    ("client in quotes", PROXY, ['xff: "10.0.0.5"'], None),
    ("client mapped", PROXY, ["xff: ::ffff:10.0.0.5"], None),
    ("client in x-real-ip", PROXY, ["xri: 10.0.0.5"], None),
    ("client in forwarded", PROXY, ['fwd: for="[fd00::5]:80";proto=https'], None),
    ("stranger", PROXY, ["xff: 8.8.8.8"],
     "proxy 192.0.2.1 asks for 8.8.8.8 in x-forwarded-for, who is not in trusted"),
    ("stranger in x-real-ip", PROXY, ["xri: 8.8.8.8"], "8.8.8.8 in x-real-ip"),
    ("stranger in forwarded", PROXY, ["fwd: for=8.8.8.8"], "8.8.8.8 in forwarded"),
    ("forged to the left", PROXY, ["xff: 10.0.0.5, 8.8.8.8"], "asks for 8.8.8.8"),
    ("forged in an own line", PROXY, ["xff: 10.0.0.5", "xff: 8.8.8.8"], "8.8.8.8"),
    ("stranger to the left is hearsay", PROXY, ["xff: 8.8.8.8, 10.0.0.5"], None),
    ("nonsense to the left is hearsay", PROXY, ["xff: \xff,,unknown, 10.0.0.5"], None),
    ("through two proxies", PROXY, ["xff: 10.0.0.5, 192.0.2.7"], None),
    ("stranger through two proxies", PROXY, ["xff: 10.0.0.5, 8.8.8.8, 192.0.2.7"], "8.8.8.8"),
    ("two proxies in two lines", PROXY, ["xff: 10.0.0.5", "xff: 192.0.2.7"], None),
    ("forwarded through two proxies", PROXY, ["fwd: for=10.0.0.5, for=192.0.2.7;by=1.1.1.1"], None),
    ("only proxies, leftmost trusted", PROXY, ["xff: 10.9.9.9, 192.0.2.7"], None),
    ("only proxies, leftmost not trusted", PROXY, ["xff: 192.0.2.8, 10.9.9.9"], "192.0.2.8"),
    ("unknown", PROXY, ["xff: unknown"], "asks for somebody unknown in x-forwarded-for"),
    ("unknown behind a proxy", PROXY, ["xff: 10.0.0.5, unknown, 192.0.2.7"], "unknown"),
    ("hidden", PROXY, ["fwd: for=_hidden"], "unknown in forwarded"),
    ("forwarded without for", PROXY, ["fwd: for=10.0.0.5, proto=https"], "unknown"),
    ("open quote", PROXY, ['fwd: for=10.0.0.5;x=", for=8.8.8.8'], "unknown"),
    ("empty", PROXY, ["xff: "], "unknown"),
    ("empty at the right", PROXY, ["xff: 10.0.0.5,"], "unknown"),
    ("two kinds agree", PROXY, ["xff: 10.0.0.5", "xri: 10.0.0.5"], None),
    ("two kinds, both trusted", PROXY, ["xff: 10.0.0.5", "xri: fd00::1"], None),
    ("two kinds, one a stranger", PROXY, ["xff: 10.0.0.5", "xri: 8.8.8.8"], "x-real-ip"),
    ("forged second kind", PROXY, ["xff: 8.8.8.8", "fwd: for=10.0.0.5"], "8.8.8.8"),
    ("second kind unknown", PROXY, ["xff: 10.0.0.5", "fwd: by=10.0.0.5"], "forwarded"),
    ("origin", PROXY, ["xff: 10.0.0.5", "origin: null"], "192.0.2.1 sent an Origin"),
    ("cross site", PROXY, ["xff: 10.0.0.5", "site: cross-site"], "Sec-Fetch-Site"),
    ("typed into a browser", PROXY, ["xff: 10.0.0.5", "site: none"], None),
    ("proxy and trusted, no header", "10.9.9.9", [HOST], "10.9.9.9 is in trusted_proxies, but sent no"),
    ("proxy and trusted, stranger", "10.9.9.9", ["xff: 8.8.8.8"], "8.8.8.8"),
    ("not quite the proxy", "192.0.3.1", ["xff: 10.0.0.5"], "192.0.3.1 is not in trusted"),
)  # fmt: skip

TRUSTED = [*DEFAULT_TRUSTED, "10.0.0.0/8", "fd00::/8", "fe80::/10"]
HOSTS = ["tokens.internal", "Dotted.Internal.", "[2001:db8::5]"]


@pytest.mark.parametrize(("peer", "headers", "wanted"), LOOPBACK)
def test_a_loopback_peer_is_trusted_if_it_asks_for_itself(peer, headers, wanted):
    _check(Access(trusted=TRUSTED, hosts=HOSTS), _scope(peer, *headers), wanted)


@pytest.mark.parametrize(("peer", "headers", "wanted"), OTHERS)
def test_any_other_peer_must_be_in_trusted(peer, headers, wanted):
    access = Access(trusted=TRUSTED, trusted_proxies=["192.0.2.0/24"], hosts=HOSTS)
    _check(access, _scope(peer, *headers), wanted)


@pytest.mark.parametrize(("peer", "headers", "wanted"), PROXIES)
def test_a_trusted_proxy_is_believed_for_whom_it_asks(peer, headers, wanted):
    access = Access(trusted=TRUSTED, trusted_proxies=["192.0.2.0/24", "10.9.9.9"])
    _check(access, _scope(peer, *headers), wanted)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("x-forwarded-for: 8.8.8.8", "names 8.8.8.8 in x-forwarded-for"),
        ("x-real-ip: 8.8.8.8", "names 8.8.8.8 in x-real-ip"),
        ("x-forwarded-for: 8.8.8.8,127.0.0.1", "names 8.8.8.8 in x-forwarded-for"),
    ],
)
def test_forwarding_from_loopback_is_refused_as_callers_of_weixin_token_know_it(header, wanted):
    _check(Access(), _scope("127.0.0.1", "host: 127.0.0.1:8000", header), wanted)


def test_an_address_that_ends_like_a_trusted_one_is_not_trusted():
    _check(Access(trusted=["10.0.0.1"]), _scope("210.0.0.1"), "peer 210.0.0.1 is not in trusted")


@pytest.mark.parametrize(
    ("http", "good"),
    [
        ("1.1", True),
        ("2", True),
        ("2.0", True),
        ("3", True),
        ("1.0", False),
        ("1", False),  # granian's word for 1.0
        ("0.9", False),
        ("", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("headers", [[HOST], [HOST, "x-real-ip: 127.0.0.1"]])
def test_loopback_asks_for_http_1_1_or_later(http, good, headers):
    wanted = None if good else "127.0.0.1 speaks an HTTP before 1.1.*trusted_proxies"
    access = Access()
    assert access.refusal(_scope("127.0.0.1", HOST)) is None
    _check(access, _scope("127.0.0.1", *headers, http=http), wanted)


def test_a_scope_without_its_http_version_is_refused_on_loopback():
    scope = _scope("127.0.0.1", HOST)
    del scope["http_version"]
    _check(Access(), scope, "HTTP before 1.1")


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(_scope("10.0.0.5", http="1.0"), id="another-host"),
        pytest.param(_scope("127.0.0.1", "x-forwarded-for: 10.0.0.5", http="1.0"), id="a-proxy-on-loopback"),
    ],
)
def test_only_a_loopback_peer_that_is_no_proxy_is_asked_for_version_and_host(scope):
    _check(Access(trusted=["10.0.0.0/8"], trusted_proxies=["127.0.0.1"]), scope, None)


def test_a_proxy_on_loopback_is_believed_for_callers_on_loopback():
    access = Access(trusted_proxies=["127.0.0.1"])
    _check(access, _scope("127.0.0.1", "x-forwarded-for: 127.0.0.1"), None)
    _check(access, _scope("127.0.0.1", "x-forwarded-for: 127.0.0.1, 8.8.8.8"), "asks for 8.8.8.8")
    _check(access, _scope("127.0.0.1", HOST), "no forwarding header")


def test_a_scope_without_a_client_is_refused():
    scope = _scope("127.0.0.1", HOST)
    del scope["client"]
    _check(Access(), scope, "no IP address")


@pytest.mark.parametrize("client", [[], (), [None, 0], ("", 0)])
def test_an_empty_client_is_refused(client):
    _check(Access(), {**_scope("127.0.0.1", HOST), "client": client}, "no IP address")


def test_headers_may_be_any_iterable_of_pairs_and_are_read_once():
    scope = _scope("127.0.0.1", HOST, "x-forwarded-for: 8.8.8.8")
    once = iter([list(pair) for pair in scope["headers"]])
    assert "8.8.8.8" in Access().refusal({**scope, "headers": once})


def test_nobody_is_trusted_where_trusted_is_empty():
    _check(Access(trusted=[]), _scope("127.0.0.1", HOST), "127.0.0.1 is not in trusted")


@pytest.mark.parametrize(
    ("trusted", "peer", "good"),
    [
        ("0.0.0.0/0", "8.8.8.8", True),
        ("0.0.0.0/0", "::ffff:8.8.8.8", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "2001:db8::1", True),
        ("::/0", "8.8.8.8", False),
        ("::/0", "::ffff:8.8.8.8", False),
        ("::ffff:0:0/96", "8.8.8.8", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("::ffff:10.0.0.5", "10.0.0.5", True),
        ("::ffff:10.0.0.5", "10.0.0.6", False),
        ("::ffff:10.0.0.5/128", "10.0.0.5", True),
        ("2001:DB8::/32", "2001:db8:1::1", True),
        ("10.0.0.5/32", "10.0.0.6", False),
    ],
)
def test_a_network_holds_its_addresses_and_no_others(trusted, peer, good):
    assert (Access(trusted=[trusted]).refusal(_scope(peer)) is None) is good


@pytest.mark.parametrize("field", ["trusted", "trusted_proxies"])
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("10.0.0.0/33", "'10.0.0.0/33' is no address or network"),
        ("::/129", "'::/129' is no address or network"),
        ("::ffff:10.0.0.0/129", "'::ffff:10.0.0.0/129' is no address or network"),
        ("10.0.0.0/", "'10.0.0.0/' is no address or network"),
        ("10.0.0.0/-1", "'10.0.0.0/-1' is no address or network"),
        ("10.0.0.0/8/8", "'10.0.0.0/8/8' is no address or network"),
        ("10.0.0.0/255.0.0.0", "'10.0.0.0/255.0.0.0' is no address or network"),
        ("10.0.0.0/٨", "'10.0.0.0/٨' is no address or network"),
        ("10.0.0", "'10.0.0' is no address or network"),
        ("localhost", "'localhost' is no address or network"),
        ("*", "'*' is no address or network"),
        ("", "'' is no address or network"),
        (" 10.0.0.1", "' 10.0.0.1' is no address or network"),
        ("10.0.0.1\n", "'10.0.0.1\\n' is no address or network"),
        ("10.0.0.1:80", "'10.0.0.1:80' is no address or network"),
        ("[::1]", "'[::1]' is no address or network"),
        ("fe80::1%eth0", "'fe80::1%eth0' has a zone; write 'fe80::1'"),
        ("fe80::%eth0/10", "'fe80::%eth0/10' has a zone; write 'fe80::/10'"),
        ("::ffff:0:0/95", "'::ffff:0:0/95' is no address or network"),
        ("::ffff:0:0/33", "'::ffff:0:0/33' is no address or network"),
    ],
)
def test_a_wrong_network_stops_the_start_with_one_line(field, entry, message):
    with pytest.raises(ConfigError) as caught:
        Access(**{field: ["192.0.2.1", entry]})
    assert str(caught.value) == f"{field}: {message}"


@pytest.mark.parametrize(
    ("entry", "network", "single"),
    [
        ("10.0.0.1/8", "10.0.0.0/8", "10.0.0.1"),
        ("10.0.0.1/0", "0.0.0.0/0", "10.0.0.1"),
        ("fd00::1/8", "fd00::/8", "fd00::1"),
        ("::ffff:10.0.0.1/104", "10.0.0.0/8", "10.0.0.1"),
        ("::ffff:10.0.0.0/8", "10.0.0.0/8", "10.0.0.0"),
        ("::ffff:10.0.0.5/32", "10.0.0.5/32", "10.0.0.5"),
        ("::ffff:0:0/0", "0.0.0.0/0", "0.0.0.0"),
    ],
)
def test_host_bits_stop_the_start_and_the_message_says_what_to_write(entry, network, single):
    with pytest.raises(ConfigError) as caught:
        Access(trusted=[entry])
    advice = f"write {network!r} for the network or {single!r} for the one address"
    assert str(caught.value) == f"trusted: {entry!r} has host bits set; {advice}"
    Access(trusted=[network, single])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("tokens.internal:80", "'tokens.internal:80' must be without port; write 'tokens.internal'"),
        ("[::1]:80", "'[::1]:80' must be without port; write '[::1]'"),
        ("::1", "'::1' is no host name (other scripts as xn--, IPv6 in brackets)"),
        ("*.internal", "'*.internal' is no host name (other scripts as xn--, IPv6 in brackets)"),
        ("http://a.example", "'http://a.example' is no host name (other scripts as xn--, IPv6 in brackets)"),
        ("例子.example", "'例子.example' is no host name (other scripts as xn--, IPv6 in brackets)"),
        (
            "to\u212aens.internal",
            "'to\u212aens.internal' is no host name (other scripts as xn--, IPv6 in brackets)",
        ),
        ("a.example\n", "'a.example\\n' is no host name (other scripts as xn--, IPv6 in brackets)"),
        (".", "'.' is no host name (other scripts as xn--, IPv6 in brackets)"),
        ("", "'' is no host name (other scripts as xn--, IPv6 in brackets)"),
    ],
)
def test_a_wrong_host_stops_the_start_with_one_line(entry, message):
    with pytest.raises(ConfigError) as caught:
        Access(hosts=[entry])
    assert str(caught.value) == f"hosts: {message}"


@pytest.mark.parametrize("field", ["trusted", "trusted_proxies", "hosts"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("10.0.0.1", "must be a list of strings, not str"),
        (None, "must be a list of strings, not NoneType"),
        ({"10.0.0.1": 1}, "must be a list of strings, not dict"),
        ([1], "must be a list of strings; int is none"),
        (["::1", b"::1"], "must be a list of strings; bytes is none"),
    ],
)
def test_a_setting_that_is_no_list_of_strings_stops_the_start(field, value, message):
    with pytest.raises(ConfigError) as caught:
        Access(**{field: value})
    assert str(caught.value) == f"{field}: {message}"


def test_what_is_remembered_is_bounded_and_forgotten_without_a_change_of_mind():
    access = Access(trusted=["127.0.0.0/8"])
    for number in range(10_000):
        low = f"{number >> 8}.{number & 255}"
        assert access.refusal(_scope(f"127.0.{low}", f"host: 127.0.{low}")) is None
        assert access.refusal(_scope(f"8.8.{low}", HOST)) == f"peer 8.8.{low} is not in trusted"
        assert max(len(access._peers._met), len(access.plain), len(access.local)) <= 4096
    assert access.refusal(_scope("127.0.0.0", "host: evil.example")) is not None


def test_hosts_and_peers_that_are_refused_for_their_form_are_not_remembered():
    access = Access()
    for number in range(50):
        access.refusal(_scope("127.0.0.1", f"host: evil{number}.example"))
        access.refusal(_scope(f"/run/{number}.sock", HOST))
    assert (len(access._peers._met), len(access.plain), len(access.local)) == (1, 0, 0)


def test_two_accesses_share_nothing():
    strict, open_to_all = Access(trusted=[]), Access(trusted=["0.0.0.0/0"])
    scope = _scope("8.8.8.8", HOST)
    assert open_to_all.refusal(scope) is None
    assert strict.refusal(scope) is not None


@settings(deadline=None)
@given(st.ip_addresses())
def test_an_address_as_its_own_network_holds_it_in_every_spelling(address):
    networks = Networks.parse("trusted", [str(address)])
    spelled = f"::ffff:{address}" if address.version == 4 else address.exploded
    access = Access(trusted=[str(address)], hosts=["localhost"])
    assert len(networks.members) == 1
    assert access.refusal(_scope(spelled, HOST)) is None


_PEERS = st.sampled_from(["127.0.0.1", "::1", "10.0.0.5", "192.0.2.1", "8.8.8.8", "::ffff:10.0.0.5"])
_ADDRESSES = st.sampled_from(
    ["127.0.0.1", "[::1]:80", "10.0.0.5", "192.0.2.1", "8.8.8.8", "unknown", "", '"']
)
_LISTS = st.lists(_ADDRESSES, min_size=1, max_size=3)
_VALUES = (
    _LISTS.map(", ".join)
    | _LISTS.map(lambda items: ", ".join(f'for="{item}"' for item in items))
    | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1"))
).map(lambda text: text.encode("latin-1"))
_FORWARDING = st.tuples(st.sampled_from(FORWARDING), _VALUES)
_OTHER = st.sampled_from(
    [
        (b"host", b"localhost"),
        (b"host", b"evil.example"),
        (b"origin", b"null"),
        (b"sec-fetch-site", b"none"),
        (b"sec-fetch-site", b"cross-site"),
        (b"accept", b"*/*"),
    ]
)
_HEADERS = st.lists(_FORWARDING | _OTHER, max_size=5)
_VERSIONS = st.sampled_from(["1.0", "1.1", "2"])


def _asked(peer, headers, http="1.1"):
    return {"type": "http", "client": (peer, 1), "http_version": http, "headers": headers}


@settings(deadline=None)
@given(_PEERS, _HEADERS, _FORWARDING, st.integers(0, 5), _VERSIONS)
def test_a_further_forwarding_header_never_opens_to_a_peer_that_is_no_proxy(peer, headers, further, at, http):
    access = Access(trusted=[*DEFAULT_TRUSTED, "10.0.0.0/8"])
    before = access.refusal(_asked(peer, headers, http))
    after = access.refusal(_asked(peer, [*headers[:at], further, *headers[at:]], http))
    assert before is None or after is not None


@settings(deadline=None)
@given(_PEERS, _HEADERS, _FORWARDING, st.integers(0, 5))
def test_a_further_kind_of_forwarding_header_never_opens_to_a_proxy_that_sends_one(
    peer, headers, further, at
):
    access = Access(
        trusted=[*DEFAULT_TRUSTED, "10.0.0.0/8"], trusted_proxies=["192.0.2.1", "127.0.0.1", "::1"]
    )
    kinds = {name for name, _ in headers if name in FORWARDING}
    if not kinds or further[0] in kinds:
        headers, further = [(b"x-real-ip", b"8.8.8.8")], (b"forwarded", further[1])
    before = access.refusal(_asked(peer, headers))
    after = access.refusal(_asked(peer, [*headers[:at], further, *headers[at:]]))
    assert before is None or after is not None


@settings(deadline=None)
@given(
    st.text(max_size=20) | _PEERS,
    st.lists(
        st.tuples(st.sampled_from([b"host", b"origin", *FORWARDING]), st.binary(max_size=40) | _VALUES),
        max_size=5,
    ),
    st.booleans(),
)
def test_whatever_the_bytes_a_refusal_is_one_clean_line_with_valid_addresses_only(peer, headers, proxied):
    access = Access(trusted_proxies=["127.0.0.1", "192.0.2.1"] if proxied else [])
    reason = access.refusal(_asked(peer, headers))
    if reason is None:
        return
    assert reason.isprintable()
    assert reason.isascii()
    for word in re.findall(r"[0-9a-f:.]*[0-9:][0-9a-f:.]*:[0-9a-f:.]*|\d+(?:\.\d+){3}", reason):
        assert ip_address(word.rstrip(":"))
