"""wechatpy as its users run it: appid and secret, nothing else. Prints what a test may know of the result."""

from __future__ import annotations

import hashlib
import json
import os
import time

from wechatpy import WeChatClient

URL = "https://www.example.com/路?a=1&b=%20"

client = WeChatClient(os.environ["APPID"], os.environ["APPSECRET"])
addresses = client.misc.get_wechat_ips()
ticket = client.jsapi.get_jsapi_ticket()
nonce, timestamp = "Wm3WZYTPz0wzccnW", int(time.time())
signature = client.jsapi.get_jsapi_signature(nonce, ticket, timestamp, URL)
print(
    json.dumps(
        {
            "addresses": addresses,
            "token": hashlib.sha256(client.access_token.encode()).hexdigest(),
            "signed": {"url": URL, "noncestr": nonce, "timestamp": timestamp, "signature": signature},
        }
    )
)
