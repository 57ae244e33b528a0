"""The app behind the proxies: the service five times, each under other rules, and the peer as it is seen.

`/{rules}/token/alpha` asks the service; every other path answers what the app saw of its peer.
"""

from __future__ import annotations

import json

import httpx
from granian.utils.proxies import wrap_asgi_with_proxy_headers
from hypercorn.middleware import ProxyFixMiddleware
from proxies_table import RULES

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware
from wxtoken_asgi.sandbox import Sandbox

APPID, SECRET = "wx00000000000000a1", "sandbox-secret"


async def _lifespan(receive, send):
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def seen(scope, receive, send):
    """Answer the peer and the HTTP version, as the server tells them."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = json.dumps([scope["client"], scope["http_version"]]).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _service():
    sandbox = Sandbox()
    sandbox.add(APPID, SECRET)
    app = seen
    for name, rules in RULES.items():
        alpha = Account("alpha", appid=APPID, secret=SECRET)
        tokens = TokenManager([alpha], store="memory:", transport=httpx.ASGITransport(sandbox))
        app = WxTokenMiddleware(app, tokens, prefix=f"/{name}", **rules)
    return app


plain = _service()
legacy = ProxyFixMiddleware(plain, "legacy")
modern = ProxyFixMiddleware(plain, "modern")
wrapped = wrap_asgi_with_proxy_headers(plain)
