"""WeChat's error numbers: what each means, what it asks for, and how to say it to people.

WeChat answers business errors with HTTP 200 and a number, `errcode`; the table of these numbers is the data
of `errtable`. What WeChat writes beside the number, `errmsg`, is never handed on: it may echo what was sent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from wxtoken_asgi.errtable import accounts, components, credentials
from wxtoken_asgi.errtable import wecom as wecom_table
from wxtoken_asgi.errtable.row import ErrCode, ErrorClass

__all__ = ["ERRCODES", "WECOM", "ErrCode", "ErrorClass", "classify", "explain", "lookup", "seen_ip"]

ERRCODES: Final[Mapping[int, ErrCode]] = MappingProxyType(
    {row.code: row for row in (*credentials.ROWS, *accounts.ROWS, *components.ROWS, *wecom_table.ONLY)}
)
"""Every known number; the few that only WeCom uses are among them."""

WECOM: Final[Mapping[int, ErrCode]] = MappingProxyType({row.code: row for row in wecom_table.OTHERWISE})
"""The numbers by which WeCom means something else than WeChat."""

_AT_TOKEN_ENDPOINT: Final = MappingProxyType({40001: credentials.WRONG_SECRET})

# The refusals that are about the caller's address: their errmsg says which address WeChat saw.
_ABOUT_IP: Final = frozenset({40164, 45035, 60020, 61004})

# "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist"; "requestIP: 1.2.3.4"; "from ip: 1.2.3.4, more".
_IP: Final = re.compile(r"(?:invalid ip|requestIP:|from ip:) ?([0-9A-Fa-f:.]{2,45}+)(?![\w%-])")

# "rid: 6aac005a-01bfdbee-79769285". So narrow that no secret and no token, which are longer words, fits.
_RID: Final = re.compile(r"\brid: ([0-9a-f]{1,8}(?:-[0-9a-f]{1,8}){2,3})(?![\w-])")


def lookup(code: int, *, wecom: bool = False) -> ErrCode:
    """What is known of a number, as an API means it.

    Args:
        code: WeChat's `errcode`.
        wecom: whether WeCom said it, who means something else by some numbers.

    Returns:
        The table's row; for a number that is not in it a row of the class `TRANSIENT`, for giving up on
        something unknown is worse than asking again.
    """
    if wecom and code in WECOM:
        return WECOM[code]
    if code in ERRCODES:
        return ERRCODES[code]
    if 85000 <= code <= 85999 and not wecom:
        return replace(accounts.CODE_MANAGEMENT, code=code)
    return _unknown(code)


def classify(code: int, *, at_token_endpoint: bool, wecom: bool = False) -> ErrorClass:
    """What a number asks for, which depends on who said it.

    Args:
        code: WeChat's `errcode`.
        at_token_endpoint: whether the call was one that asks for a token with the secret. There 40001 means
            a wrong secret, and no number means a dead token, for none was sent: taking it for one would
            answer a failed fetch with another fetch, without end.
        wecom: whether WeCom said it.
    """
    cls = _row(code, at_token_endpoint=at_token_endpoint, wecom=wecom).cls
    if at_token_endpoint and cls is ErrorClass.DEAD_TOKEN:
        return ErrorClass.TRANSIENT
    return cls


def seen_ip(errmsg: str) -> str | None:
    """The address from which WeChat saw the call come, where its text names one.

    Args:
        errmsg: WeChat's text, as with 40164 (`invalid ip 1.2.3.4 ipv6 ...`), 61004 (`requestIP: 1.2.3.4`) and
            WeCom's 60020 (`from ip: 1.2.3.4`).

    Returns:
        A valid IP address, an IPv4-mapped one as IPv4; None where there is none.
    """
    for match in _IP.finditer(errmsg):
        try:
            address = ipaddress.ip_address(match[1].rstrip("."))
        except ValueError:
            continue
        return str(getattr(address, "ipv4_mapped", None) or address)
    return None


def explain(code: int, errmsg: str = "", *, at_token_endpoint: bool = True, wecom: bool = False) -> str:
    """One line for people: what the number means and what to do, in English and in Chinese.

    Args:
        code: WeChat's `errcode`.
        errmsg: WeChat's text. Only two things are taken from it, both validated: the address that WeChat
            saw, where the refusal is about that, and the `rid`, by which the call can be looked up on
            WeChat's platform for 7 days.
        at_token_endpoint: whether the call was one that asks for a token with the secret.
        wecom: whether WeCom said it.
    """
    row = _row(code, at_token_endpoint=at_token_endpoint, wecom=wecom)
    ip = seen_ip(errmsg) if code in _ABOUT_IP else None
    rid = _RID.search(errmsg)
    english = f"{row.meaning}{f' (the address seen is {ip})' if ip else ''}; {row.action}"
    chinese = f"{row.meaning_zh}{f'（对方看到的 IP 为 {ip}）' if ip else ''}；{row.action_zh}"
    return (
        f"{'WeCom' if wecom else 'WeChat'} {code}: {english} / {chinese}{f' (rid: {rid[1]})' if rid else ''}"
    )


def _row(code: int, *, at_token_endpoint: bool, wecom: bool) -> ErrCode:
    if at_token_endpoint and not wecom and code in _AT_TOKEN_ENDPOINT:
        return _AT_TOKEN_ENDPOINT[code]
    return lookup(code, wecom=wecom)


def _unknown(code: int) -> ErrCode:
    return ErrCode(
        code,
        ErrorClass.TRANSIENT,
        "",
        "WeChat answered with a number that this version does not know",
        "look it up at developers.weixin.qq.com/doc/oplatform/developers/errCode/; it is tried again later",
        "微信返回了当前版本未收录的错误码",
        "请到微信官方“通用错误码”页面查询，稍后会自动重试",
    )
