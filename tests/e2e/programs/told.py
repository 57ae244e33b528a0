"""Hooks that say what they hear, without the value."""

from __future__ import annotations


class Told:
    """`hooks = "told:Told"`."""

    @staticmethod
    def on_token(event):
        print(f"told of {event.kind} of {event.account}", flush=True)

    @staticmethod
    def on_error(event):
        print(f"told of error {event.cls} of {event.account}", flush=True)
