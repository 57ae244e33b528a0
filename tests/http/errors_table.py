"""Every error answer of the HTTP interface; the documentation's table is checked against this one."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One error answer.

    Args:
        status: the HTTP status.
        code: the JSON's `code`.
        when: what brings it about.
        retry_after: it has a `Retry-After`.
        errcode: it has WeChat's `errcode`: `True`, `False`, or None where WeChat may have said one.
    """

    status: int
    code: str
    when: str
    retry_after: bool = False
    errcode: bool | None = False


ERRORS = [
    Row(400, "bad_body", "the body of a PUT is neither a report nor nothing"),
    Row(400, "bad_format", "format is neither text nor json"),
    Row(400, "bad_url", "js-config: url is missing, given twice, or no address of a page"),
    Row(401, "bad_key", "the key is nobody's, or has ended"),
    Row(403, "host_not_allowed", "js-config: the page's host is not among the account's js_domains"),
    Row(403, "not_allowed", "the caller may not do this, with this account or from there"),
    Row(404, "no_such_credential", "the account can have no ticket (a mini program)", errcode=True),
    Row(404, "not_found", "nothing has this path"),
    Row(404, "unknown_account", "no account has this name or appid"),
    Row(405, "method_not_allowed", "the path has no such method; Allow lists those it has"),
    Row(408, "body_timeout", "the body of a PUT did not come within 5 s"),
    Row(413, "body_too_large", "the body of a PUT has more than 4096 bytes"),
    Row(414, "query_too_long", "the query has more than 16 KiB"),
    Row(429, "budget_spent", "a budget of 24 hours is used up", retry_after=True),
    Row(429, "too_many_wrong_keys", "more than 20 wrong keys of a peer within a minute", retry_after=True),
    Row(431, "too_many_headers", "the request has more than 200 headers"),
    Row(502, "upstream_refused", "WeChat refuses", retry_after=True, errcode=True),
    Row(503, "not_ready", "nothing valid yet; health/ready: not ready", retry_after=True, errcode=None),
    Row(503, "store_format", "the store's records are of another version", retry_after=True),
    Row(503, "store_unavailable", "the store is away, and must not be done without", retry_after=True),
    Row(503, "too_many_waiting", "10000 callers wait already", retry_after=True),
    Row(504, "upstream_timeout", "the last attempt timed out", retry_after=True),
]

NEVER_OVER_HTTP = {"error", "config", "wrong_loop"}
"""Codes of errors that a program meets, but no caller."""
