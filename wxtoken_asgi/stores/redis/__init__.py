"""`redis://host`: the records of many hosts."""

from wxtoken_asgi.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
