"""What Redis's errors mean, in one line that says what an operator can do."""

from __future__ import annotations

import re
from typing import Final

from wxtoken_asgi.errors import StoreError, StoreFormatError, StoreRefused
from wxtoken_asgi.stores.contract import FORMAT

ACL: Final = (
    "ACL SETUSER wxtoken on >PASSWORD resetkeys ~{wxtoken}:* resetchannels -@all +eval +evalsha +time "
    "+hmget +hset +hdel +del +zadd +zrem +zcard +zrangebyscore +zremrangebyrank +xadd +xread +select"
)
"""A user that may do what the store does in the namespace `wxtoken`, and nothing else."""

_FOR_EVER: Final = (
    (
        r"NOPERM|NoPermission|ACL failure|user executing the script",
        "its user may not do what the store needs; see the ACL in its page",
    ),
    (r"NOAUTH|WRONGPASS|Authentication|without any password", "it wants another user or password"),
    (r"WRONGTYPE", "another program's keys are in the way; choose another database"),
    (
        r"MOVED|Moved",
        "it is a node of a cluster, but not the one that has these keys",
    ),
    (r"unknown command", "it lacks a command that the store needs; is it Redis 6.2 or later?"),
    (r"DB index|invalid DB", "it has no database of that number"),
    (
        r"CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE",
        "TLS fails; look at its certificate, its port and ssl_ca_certs",
    ),
)
"""What is found in an error that only an operator ends, and what to say of it; the first that fits."""

_FOR_NOW: Final = (
    (r"READONLY|ReadOnly", "it is a replica and takes no writes; if a failover is under way, wait"),
    (r"LOADING|BusyLoading", "it is loading its data; wait"),
    (r"\bOOM\b|OutOfMemory", "its memory is full; raise maxmemory (maxmemory-policy noeviction)"),
    (r"MISCONF", "it cannot save to its disk and takes no writes; look at its log"),
    (r"CLUSTERDOWN|ClusterDown", "its cluster is down"),
    (r"MASTERDOWN|MasterDown|NOREPLICAS", "its replication is interrupted; look at its log"),
    (r"\bBUSY\b", "another program's script keeps it busy"),
    (r"max number of clients|MaxClients", "it takes no more connections; raise maxclients"),
    (r"CERTIFICATE|SSL|TLS", "TLS fails; look at its certificate and ssl_ca_certs"),
)
"""What is found in an error that may be over soon, and what to say of it; the first that fits."""


def trouble(error: BaseException, place: str) -> StoreError:
    """What to raise for an error of redis-py or of a script.

    Args:
        error: what was caught. Its own text goes nowhere: nobody can know what is in it.
        place: the server, without user and password.
    """
    said = f"{type(error).__name__} {error}"
    form = re.search(r"WXFORMAT (\w+)", said)
    if form:
        return StoreFormatError(
            f"store: {place} holds records of format {form[1]} and this version knows {FORMAT}; "
            "run the version that wrote them, or name another database"
        )
    for kind, meanings in ((StoreRefused, _FOR_EVER), (StoreError, _FOR_NOW)):
        for pattern, meaning in meanings:
            if re.search(pattern, said):
                return kind(f"store: Redis at {place}: {meaning}")
    if isinstance(error, TimeoutError) or "Timeout" in said:
        return StoreError(f"store: Redis at {place} does not answer")
    if isinstance(error, OSError) or "Connect" in said:
        return StoreError(f"store: Redis at {place} cannot be reached")
    return StoreError(f"store: Redis at {place} answered with an error ({type(error).__name__})")
