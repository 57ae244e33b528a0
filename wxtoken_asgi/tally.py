"""What one fetch has sent to WeChat, call by call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from wxtoken_asgi.records import Account
from wxtoken_asgi.stores.contract import Cost
from wxtoken_asgi.weixin import Request, Upstream, UpstreamError


class Tally:
    """The calls of one fetch that may have reached WeChat, counted under each request's name."""

    def __init__(self) -> None:
        self._sent: Counter[str] = Counter()

    def over(self, weixin: Upstream) -> Upstream:
        """WeChat, reached over these connections, with every call counted."""
        return _Counted(weixin, self._sent)

    def costs(self, charged: Iterable[str]) -> tuple[Cost, ...]:
        """What was sent beyond what the lease was charged with already."""
        rest = self._sent.copy()
        rest.subtract(charged)
        return tuple(Cost(name, count) for name, count in sorted(rest.items()) if count > 0)

    def sent(self, name: str) -> bool:
        """Whether any call of that name may have arrived."""
        return self._sent[name] > 0


class _Counted:
    def __init__(self, weixin: Upstream, sent: Counter[str]) -> None:
        self._weixin = weixin
        self._sent = sent

    async def call(self, account: Account, request: Request) -> dict[str, Any]:
        """See `Weixin.call`."""
        self._sent[request.counts] += 1
        try:
            return await self._weixin.call(account, request)
        except UpstreamError as error:
            if error.cls == "connect":  # it never left
                self._sent[request.counts] -= 1
            raise
