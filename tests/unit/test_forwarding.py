"""Addresses, and the chains in forwarding headers."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxtoken_asgi.forwarding import FORWARDED, FORWARDING, from_the_right, parse_address

XFF = b"x-forwarded-for"


def _chain(kind, *lines):
    return [address and str(address) for address in from_the_right(kind, lines)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("::ffff:a00:5", "10.0.0.5"),
        ("::ffff:10.0.0.5%eth0", "10.0.0.5"),
        ("::10.0.0.5", "::a00:5"),
        ("fe80::1%", None),
        ("fe80::1%a%b", None),
        ("127.0.0.1%lo", None),
        ("127.1", None),
        ("127.0.0.01", None),
        ("2130706433", None),
        ("0x7f000001", None),
        ("127.0.0.1\n", None),
        (" 127.0.0.1", None),
        ("127.0.0.1/32", None),
        ("١٢٧.٠.٠.١", None),
        ("localhost", None),
        ("unix:", None),
        ("", None),
    ],
)
def test_only_an_ip_literal_is_an_address(text, wanted):
    address = parse_address(text)
    assert (address and str(address)) == wanted


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (b"1.2.3.4", "1.2.3.4"),
        (b" \t1.2.3.4\t ", "1.2.3.4"),
        (b"1.2.3.4:567", "1.2.3.4"),
        (b"1.2.3.4:", None),
        (b"1.2.3.4:999999", None),
        (b"1.2.3.4:80:80", None),
        (b"1.2.3.4:_obfuscated", "1.2.3.4"),
        (b"1.2.3.4:http", None),
        (b"::1", "::1"),
        (b"[::1]", "::1"),
        (b"[::1]:80", "::1"),
        (b"[::1]80", None),
        (b"[::1", None),
        (b"::1]", None),
        (b"[[::1]]", None),
        (b"[1.2.3.4]", None),
        (b"[]", None),
        (b"[::ffff:1.2.3.4]:80", "1.2.3.4"),
        (b"[fe80::1%eth0]:80", "fe80::1"),
        (b'"1.2.3.4"', "1.2.3.4"),
        (b'"[::1]:80"', "::1"),
        (b'"1.2.3.4', None),
        (b'"', None),
        (b'""', None),
        (b"'1.2.3.4'", None),
        (b"unknown", None),
        (b"_hidden", None),
        (b"", None),
        (b"localhost", None),
        (b"1.2.3.4 5.6.7.8", None),
        (b"1.2.3.4;", None),
        (b"1.2.3.4\x00", None),
        (b"1.2.3.4\xa0", None),
        (b"\xff\xfe", None),
        (b"for=1.2.3.4", None),
    ],
)
@pytest.mark.parametrize("kind", [XFF, b"x-real-ip"])
def test_an_entry_is_an_address_with_or_without_port_or_somebody_unknown(kind, entry, wanted):
    assert _chain(kind, entry) == [wanted]


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([b"1.1.1.1, 2.2.2.2,3.3.3.3"], ["3.3.3.3", "2.2.2.2", "1.1.1.1"]),
        ([b"1.1.1.1", b"2.2.2.2, 3.3.3.3"], ["3.3.3.3", "2.2.2.2", "1.1.1.1"]),
        ([b"1.1.1.1,"], [None, "1.1.1.1"]),
        ([b",1.1.1.1"], ["1.1.1.1", None]),
        ([b"1.1.1.1,,2.2.2.2"], ["2.2.2.2", None, "1.1.1.1"]),
        ([b"1.1.1.1", b""], [None, "1.1.1.1"]),
        ([b'"1.1.1.1, 2.2.2.2"'], [None, None]),
    ],
)
def test_several_entries_and_lines_are_one_list(lines, wanted):
    assert _chain(XFF, *lines) == wanted


@pytest.mark.parametrize(
    ("element", "wanted"),
    [
        (b"for=1.2.3.4", "1.2.3.4"),
        (b"For=1.2.3.4", "1.2.3.4"),
        (b"for=1.2.3.4;proto=https;by=5.6.7.8", "1.2.3.4"),
        (b'proto=http;host="a.example:80";for=1.2.3.4', "1.2.3.4"),
        (b" for=1.2.3.4 ; proto=http ", "1.2.3.4"),
        (b";for=1.2.3.4;", "1.2.3.4"),
        (b'for="1.2.3.4"', "1.2.3.4"),
        (b'for="1.2.3.4:567"', "1.2.3.4"),
        (b"for=1.2.3.4:567", "1.2.3.4"),
        (b'for="[2001:db8::1]"', "2001:db8::1"),
        (b'for="[2001:db8::1]:80"', "2001:db8::1"),
        (b'for="[2001:db8::1]:_port"', "2001:db8::1"),
        (b"for=[2001:db8::1]:80", "2001:db8::1"),
        (b"for=2001:db8::1", "2001:db8::1"),
        (b'for="1\\.2.3.4"', "1.2.3.4"),
        (b'for="\\"1.2.3.4\\""', None),
        (b"for=unknown", None),
        (b"for=_hidden", None),
        (b'for="_SEVKISEK"', None),
        (b"for=", None),
        (b'for=""', None),
        (b"for", None),
        (b"", None),
        (b"1.2.3.4", None),
        (b"by=1.2.3.4", None),
        (b"xfor=1.2.3.4", None),
        (b"for=1.2.3.4;for=1.2.3.4", None),
        (b"for=1.2.3.4;for=unknown", None),
        (b"for = 1.2.3.4", None),
        (b"for=1.2.3.4 proto=http", None),
        (b'for="1.2.3.4"x', None),
        (b'for="1.2.3.4', None),
        (b'for=1.2.3.4"', None),
        (b'for="1.2.3.4\\"', None),
        (b"for='1.2.3.4'", None),
        (b"for=1.2.3.4;\xff=1", None),
        (b"for=1.2.3.4\x00", None),
    ],
)
def test_an_element_of_forwarded_names_its_client_in_for(element, wanted):
    assert _chain(FORWARDED, element) == [wanted]


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([b"for=1.1.1.1, for=2.2.2.2;by=9.9.9.9,for=3.3.3.3"], ["3.3.3.3", "2.2.2.2", "1.1.1.1"]),
        ([b"for=1.1.1.1", b'for="[::1]:80", for=3.3.3.3'], ["3.3.3.3", "::1", "1.1.1.1"]),
        ([b"for=1.1.1.1,,for=2.2.2.2"], ["2.2.2.2", None, "1.1.1.1"]),
        ([b"for=1.1.1.1, proto=http, for=2.2.2.2"], ["2.2.2.2", None, "1.1.1.1"]),
        ([b"nonsense", b"for=2.2.2.2"], ["2.2.2.2", None]),
    ],
)
def test_several_elements_and_lines_of_forwarded_are_one_list(lines, wanted):
    assert _chain(FORWARDED, *lines) == wanted


@pytest.mark.parametrize(
    "line",
    [
        b'for=127.0.0.1;x=", for=8.8.8.8',
        b'for=127.0.0.1;x=", for=8.8.8.8;host="evil"',
        b'for=127.0.0.1;x=", for=8.8.8.8;host=";y="',
        b'for=8.8.8.8;host="x, for=127.0.0.1, y=z"',
        b'for=8.8.8.8;host="x, for=127.0.0.1;z=""',
        b'for=8.8.8.8;host="x;for=127.0.0.1;z="',
        b'for=127.0.0.1;x="\\", for=8.8.8.8"',
    ],
)
def test_a_quote_neither_swallows_what_a_proxy_appends_nor_forges_an_element(line):
    assert _chain(FORWARDED, line) == [None]


@pytest.mark.parametrize("kind", FORWARDING)
def test_a_line_over_4_kib_is_one_unknown_entry(kind):
    entry = b"for=127.0.0.1," if kind == FORWARDED else b"127.0.0.1,"
    short = (entry * 300)[: len(entry) * 4].rstrip(b",")
    long = (entry * 500).rstrip(b",")
    assert _chain(kind, short, long, short) == ["127.0.0.1"] * 4 + [None] + ["127.0.0.1"] * 4


@pytest.mark.parametrize("kind", FORWARDING)
@pytest.mark.parametrize(("entries", "tail"), [(63, []), (64, []), (65, [None]), (400, [None])])
def test_beyond_64_entries_everything_is_one_unknown_entry(kind, entries, tail):
    lines = [b"for=127.0.0.1" if kind == FORWARDED else b"127.0.0.1"] * entries
    assert _chain(kind, *lines) == ["127.0.0.1"] * min(entries, 64) + tail


def test_without_a_line_there_is_no_entry():
    assert _chain(XFF) == []


_SPICE = st.lists(
    st.sampled_from(
        [
            b"for=",
            b"For=",
            b"by=",
            b'"',
            b"\\",
            b",",
            b";",
            b" ",
            b"[",
            b"]",
            b":",
            b"::1",
            b"1.2.3.4",
            b"%",
            b"_h",
        ]
    ),
    max_size=20,
).map(b"".join)


@settings(deadline=None)
@given(st.sampled_from(FORWARDING), st.lists(st.binary(max_size=60) | _SPICE, max_size=4))
def test_whatever_the_bytes_a_chain_can_be_read(kind, lines):
    chain = list(from_the_right(kind, lines))
    assert len(chain) >= bool(lines)
    for address in chain:
        assert address is None or ip_address(str(address)) == address


@settings(deadline=None)
@given(st.text(max_size=50))
def test_whatever_the_text_an_address_is_clean_or_none(text):
    address = parse_address(text)
    assert address is None or str(address).isprintable()


@settings(deadline=None)
@given(st.ip_addresses(), st.sampled_from(["", ":80", ":_x"]))
def test_what_a_careful_proxy_writes_is_read_back(address, port):
    node = f"[{address}]{port}" if address.version == 6 else f"{address}{port}"
    wanted = [parse_address(str(address))]
    assert list(from_the_right(XFF, [node.encode()])) == wanted
    assert list(from_the_right(FORWARDED, [f'proto=https;for="{node}"'.encode()])) == wanted


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.binary(max_size=60) | _SPICE)
def test_what_a_caller_sends_never_hides_what_a_proxy_appends(address, prefix):
    for kind, own in ((XFF, f"{address}"), (FORWARDED, f"for={address}")):
        chain = list(from_the_right(kind, [prefix + b", " + own.encode()]))
        assert chain[0] in {address, None}
