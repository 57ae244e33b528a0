"""A WeChat that runs on your machine: answers and refusals as the real one gives them, faults on request.

Three ways to use it: the command `wxtoken sandbox`; an ASGI app in a test
(`httpx.ASGITransport(app=Sandbox())`); the pytest fixture `wxtoken_sandbox`.
"""

from __future__ import annotations

from wxtoken_asgi.sandbox.app import Sandbox, demo
from wxtoken_asgi.sandbox.clock import SandboxClock
from wxtoken_asgi.sandbox.errcodes import Refused
from wxtoken_asgi.sandbox.faults import Fault, Faults
from wxtoken_asgi.sandbox.ledger import Call

__all__ = ["Call", "Fault", "Faults", "Refused", "Sandbox", "SandboxClock", "demo"]
