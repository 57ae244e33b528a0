"""Writes docs/errcodes.md from the table in the code: python docs/errcodes_page.py > docs/errcodes.md."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from wxtoken_asgi.errcodes import ERRCODES, WECOM, ErrCode
from wxtoken_asgi.errtable.credentials import WRONG_SECRET

TOP = """\
# WeChat's error numbers

微信错误码（中英对照）。

WeChat answers errors with HTTP 200 and a number, `errcode`. These are the numbers that this package knows,
what each means, and what to do. Log lines and error answers say the same. This page is made from the code by
[errcodes_page.py](errcodes_page.py).

## Classes

| class | meaning | 含义 |
|---|---|---|
| `permanent` | it fails until somebody changes configuration or code | 修改配置或代码前一直失败 |
| `operator` | somebody has to do something on WeChat's platform first | 需要先在微信平台上处理 |
| `dead_token` | the token or ticket is dead: read the new one, try once more | 已失效：读取新值后重试一次 |
| `transient` | not now: it is tried again after a pause | 暂时失败：稍后自动重试 |
| `quota` | a quota is used up: it is tried again in ten minutes, or in one | 额度用完：十分钟或一分钟后重试 |
| `state` | another party has to act: who authorised a platform, or the user | 需要授权方或用户处理 |

Unknown numbers count as `transient`. At the token endpoints no number means a dead token, for none was sent:
40001 means a wrong AppSecret there, the others count as `transient`.
"""


def rows(codes: Iterable[ErrCode]) -> Iterable[str]:
    """The codes as lines of a table."""
    yield "| errcode | class | meaning | what to do | 含义 | 处理 |"
    yield "|---|---|---|---|---|---|"
    for code in codes:
        words = (code.meaning, code.action, code.meaning_zh, code.action_zh)
        yield f"| {code.code} | `{code.cls}` | {' | '.join(map(_cell, words))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def page() -> str:
    """The whole page."""
    parts = [
        TOP,
        "## At the token endpoints\n",
        "\n".join(rows([WRONG_SECRET])),
        "\n## Everywhere\n",
        "\n".join(rows(sorted(ERRCODES.values(), key=lambda code: code.code))),
        "\n## WeCom, where it differs\n",
        "\n".join(rows(sorted(WECOM.values(), key=lambda code: code.code))),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
