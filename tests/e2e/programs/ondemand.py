"""The middleware alone, for servers that run no lifespan."""

from __future__ import annotations

import os

from wxtoken_asgi.config import load

app = load(os.environ["CONFIG"]).middleware()
