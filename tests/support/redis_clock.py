"""A Redis server's clock that tests can step: the scripts take theirs from here instead of `TIME`."""

from __future__ import annotations

import hashlib
import time

from wxtoken_asgi.stores.redis import scripts

_ASKED = "redis.call('TIME')"
_STEPPED = """
local function stepped()
  local time = redis.call('TIME')
  local micros = time[1] * 1000000 + time[2] + tonumber(redis.call('GET', 'stepped{wxtoken}') or 0)
  return {math.floor(micros / 1000000), micros % 1000000}
end
"""


def stepped_script(operation):
    """In place of `wxtoken_asgi.stores.redis.scripts.script`."""
    text = scripts.script(operation).text
    assert text.count(_ASKED) == 1
    text = _STEPPED + text.replace(_ASKED, "stepped()")
    return scripts.Script(text, hashlib.sha1(text.encode()).hexdigest())


class ServerClock:
    """The clock of a server whose scripts are `stepped_script`'s.

    Args:
        admin: a synchronous client.
    """

    def __init__(self, admin):
        self.admin = admin
        self.stepped = 0.0

    def step(self, seconds):
        """Step it."""
        self.stepped += seconds
        self.put()

    def put(self):
        """Tell the server, once more if it was emptied."""
        self.admin.set("stepped{wxtoken}", int(self.stepped * 1e6))

    def time(self):
        """What it says."""
        return time.time() + self.stepped
