"""WeRoBot's client with the token of `wxtoken serve`, through the method that it has for that."""

from __future__ import annotations

import hashlib
import json
import os

import requests
from werobot.client import Client


class TokenCenterClient(Client):
    """Knows no secret."""

    def get_access_token(self):
        answer = requests.get(f"{os.environ['TOKEN_CENTER']}/token/alpha", timeout=10)
        answer.raise_for_status()
        return answer.text


client = TokenCenterClient({"APP_ID": os.environ["APPID"]})
addresses = client.get_ip_list()["ip_list"]
print(json.dumps({"addresses": addresses, "token": hashlib.sha256(client.token.encode()).hexdigest()}))
