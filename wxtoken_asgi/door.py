"""The door: a request is let in, or answered with why not; each refusal is logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from wxtoken_asgi.access import WRONG_KEYS_S, Access, Refused
from wxtoken_asgi.answers import Answer, error_answer
from wxtoken_asgi.audit import Audit, request_id
from wxtoken_asgi.callers import Caller

logger = logging.getLogger("wxtoken_asgi")

MOST_TOLD: Final = 1000
"""So many different refusals are logged loudly; whoever has many addresses floods neither log nor memory."""

LONGEST_QUERY: Final = 16 * 1024

_CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="wxtoken", error="invalid_token"')

NOT_ALLOWED: Final = error_answer(403, "not_allowed", "not allowed from here")
BAD_KEY: Final = error_answer(401, "bad_key", "this key is not valid", headers=(_CHALLENGE,))
WRONG_KEYS: Final = error_answer(
    429,
    "too_many_wrong_keys",
    "too many keys that are not valid",
    retry_in=WRONG_KEYS_S,
    headers=(_CHALLENGE,),
)
MANY_HEADERS: Final = error_answer(431, "too_many_headers", "the request has too many headers")
LONG_QUERY: Final = error_answer(414, "query_too_long", f"the query has more than {LONGEST_QUERY} bytes")
_ANSWERS: Final = {401: BAD_KEY, 403: NOT_ALLOWED, 414: LONG_QUERY, 429: WRONG_KEYS, 431: MANY_HEADERS}


class Door:
    """Lets callers in.

    Args:
        access: who may do what.
        audit: hears of refusals.
    """

    def __init__(self, access: Access, audit: Audit) -> None:
        self._access = access
        self._audit = audit
        self._told: set[str] = set()

    def admit(self, scope: Mapping[str, Any], right: str, app: str, kind: str = "") -> Caller | Answer:
        """Who asks, or the answer for who may not.

        No account is looked up here: whoever may use some accounts only hears the same of one that is there
        and of one that is not.

        Args:
            scope: an ASGI scope of type http.
            right: what is to be done.
            app: the account's name or appid, as it was asked for.
            kind: the kind of credential, for records.
        """
        judged = self._access.judge(scope)
        if not isinstance(judged, Refused) and len(scope["query_string"]) > LONGEST_QUERY:
            judged = Refused(414, f"{judged.caller.address} sent a query that is too long", judged.caller)
        allowed = judged if isinstance(judged, Refused) else judged.allows(right, app)
        return allowed if isinstance(allowed, Caller) else self._refuse(allowed, scope, app, kind)

    def _refuse(self, refused: Refused, scope: Mapping[str, Any], app: str, kind: str) -> Answer:
        self._tell(refused.reason)
        answer = _ANSWERS[refused.status]
        self._audit.tell(
            "refused",
            refused.caller,
            account=app,
            kind=kind,
            result=answer.code,
            status=refused.status,
            request_id=request_id(scope["headers"]),
        )
        return answer

    def knows(self, scope: Mapping[str, Any], right: str, app: str, kind: str) -> Caller | None:
        """Who asks, if the caller may do this as well. If not, only a wrong key is told."""
        judged = self._access.judge(scope)
        if isinstance(judged, Refused):
            if judged.status in {401, 429}:
                self._refuse(judged, scope, app, kind)
            return None
        allowed = judged.allows(right, app)
        return allowed if isinstance(allowed, Caller) else None

    def _tell(self, refusal: str) -> None:
        first = refusal not in self._told and len(self._told) < MOST_TOLD
        if first:
            self._told.add(refusal)
        logger.log(logging.WARNING if first else logging.DEBUG, "refused: %s", refusal)
