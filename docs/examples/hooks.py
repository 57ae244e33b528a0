"""Hooks: what saveToken, saveTicket and onerror were in weixin-token.

Run it: uvicorn hooks:app --no-proxy-headers
"""

import logging
import os

from wxtoken_asgi import Account, ErrorEvent, TokenEvent, TokenManager, WxTokenMiddleware

log = logging.getLogger("shop")
newest: dict[tuple[str, str], int] = {}


async def on_token(event: TokenEvent) -> None:
    """Hear of each new access token, at most once, in the process that fetched it."""
    newest[event.account, event.kind] = event.version  # event.value is the token; the repr hides it
    log.info("%r", event)


def on_ticket(event: TokenEvent) -> None:
    """Hear of each new ticket; a plain function runs in a thread of its own."""
    newest[event.account, event.kind] = event.version


def on_error(event: ErrorEvent) -> None:
    """Hear of each fetch that failed; this is the place for an alarm."""
    log.error("%s of %s: %s", event.kind, event.account, event.message)


shop = Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"], tickets=("jsapi",))
tokens = TokenManager([shop], on_token=on_token, on_ticket=on_ticket, on_error=on_error)
app = WxTokenMiddleware(tokens=tokens)
