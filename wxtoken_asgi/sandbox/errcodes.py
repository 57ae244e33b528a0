"""WeChat's error numbers and the texts that it sends with them.

The texts are those recorded from api.weixin.qq.com since 2023 where there are recordings, else those of
the published return-code table.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

_STABLE_HINT: Final = (
    ", could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
)

_TEXTS: Final = MappingProxyType(
    {
        -1: "system error",
        40001: f"invalid credential, access_token is invalid or not latest{_STABLE_HINT}",
        40002: "invalid grant_type",
        40013: "invalid appid",
        40014: "invalid access_token",
        40066: "invalid url",
        40097: "invalid args",
        40125: "invalid appsecret",
        40164: "invalid ip {ip} ipv6 {ipv6}, not in whitelist",
        41001: "access_token missing",
        41002: "appid missing",
        41003: "refresh_token missing",
        41004: "appsecret missing",
        42001: "access_token expired",
        43001: "require GET method",
        43002: "require POST method",
        43003: "require https",
        44002: "empty post data",
        45009: "reach max api daily quota limit",
        45011: "api minute-quota reach limit, must slower, retry next minute",
        47001: "data format error",
        48001: "api unauthorized",
        48006: "forbid to clear quota because of reaching the limit",
        50002: "user limited",
        50004: "user not allow to use accesstoken, maybe for punishment",
        61024: "must use api(api_component_token) to get token for component acct",
    }
)


class Refused(Exception):
    """WeChat answers with an error number.

    Args:
        errcode: the number.
    """

    def __init__(self, errcode: int) -> None:
        super().__init__(f"errcode {errcode}")
        self.errcode = errcode


def text(errcode: int, *, path: str, peer: str) -> str:
    """The `errmsg` of an error, without the rid at its end.

    A number whose text is not known gets a generic one: clients go by the number.

    Args:
        errcode: the number.
        path: the path that was asked; the old token endpoint words its 45009 differently.
        peer: the caller's address, which 40164 names.
    """
    if errcode == 45009 and path == "/cgi-bin/token":
        return _TEXTS[45009] + _STABLE_HINT
    ipv6 = peer if ":" in peer else f"::ffff:{peer}"
    return _TEXTS.get(errcode, f"error {errcode}").format(ip=peer, ipv6=ipv6)
