"""WeRoBot's client as its users run it: appid and secret, nothing else."""

from __future__ import annotations

import hashlib
import json
import os

from werobot.client import Client

client = Client({"APP_ID": os.environ["APPID"], "APP_SECRET": os.environ["APPSECRET"]})
addresses = client.get_ip_list()["ip_list"]
print(json.dumps({"addresses": addresses, "token": hashlib.sha256(client.token.encode()).hexdigest()}))
