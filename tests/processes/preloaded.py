"""An app whose manager is made when the module is imported, which gunicorn --preload does before it forks."""

from __future__ import annotations

import os

from wxtoken_asgi.config import load

app = load(os.environ["CONFIG"]).middleware()
