"""A WeChat in a process of its own: the sandbox, which here also tells of a token how long it really lives.

    GET /sandbox/token?token=…    {"order": how many were issued before it, "left": seconds, "errcode": …}

`errcode` is what a protected API would say. A token that was never issued is 404.
"""

from __future__ import annotations

import json
import sys
from urllib.parse import parse_qs

import uvicorn

from wxtoken_asgi.command.serve import address_of, listen
from wxtoken_asgi.sandbox import Sandbox


class Talkative(Sandbox):
    """A sandbox that takes any well-formed appid with any secret."""

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] != "/sandbox/token":
            await super().__call__(scope, receive, send)
            return
        (value,) = parse_qs(scope["query_string"].decode())["token"]
        status, answer = self._told(value)
        body = json.dumps(answer).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _told(self, value):
        token = self._wechat.token(value)
        if token is None:
            return 404, {"error": "it was never issued"}
        now = self.clock.time()
        order = list(self._wechat._tokens).index(value)
        return 200, {"order": order, "left": token.dies - now, "errcode": token.errcode(now)}


def main(overlap: str = "grace") -> None:
    app = Talkative(open=True, overlap=overlap)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", proxy_headers=False)
    with listen("127.0.0.1", 0) as sock:
        print(f"listens on {address_of(sock)}", flush=True)
        uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main(*sys.argv[1:])
