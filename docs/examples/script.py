"""A script without a server: it opens the manager itself.

Run it: python script.py
"""

import os

import anyio

from wxtoken_asgi import Account, TokenManager, UpstreamRefused

shop = Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"], tickets=("jsapi",))


async def main() -> None:
    async with TokenManager([shop]) as tokens:
        try:
            token = await tokens.access_token("shop")
        except UpstreamRefused as error:
            raise SystemExit(str(error)) from error  # WeChat's number in plain words; no secret in it
        config = await tokens.js_config("shop", "https://www.example.com/page?from=share#top")
        print("token of", len(token), "characters")
        print("signed", config.url)
        for credential in tokens.statistics().credentials:
            print(credential.account, credential.kind, credential.state)


anyio.run(main)
