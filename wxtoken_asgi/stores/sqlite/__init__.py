"""`sqlite:///path`: the records of all processes of one host, in a file."""

from wxtoken_asgi.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
