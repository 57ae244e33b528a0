"""Hooks that say what they hear, without the value."""

from __future__ import annotations


def on_token(event):
    print(f"told of {event.kind} of {event.account}, version {event.version}", flush=True)


on_ticket = on_token


def on_error(event):
    print(f"told of error {event.cls} of {event.account}", flush=True)
