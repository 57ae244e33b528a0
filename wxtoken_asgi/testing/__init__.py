"""What others need to test their own parts of the service: the store contract as tests.

class TestMyStore(StoreContract):
    @pytest.fixture
    def make(self, clock): ...      # a function that makes a store object; all of a test share the records

    @pytest.fixture
    def wipe(self, store): ...      # an async function that empties the database behind the store's back

A store whose time is not that of the `clock` it is given also gives `later` (lets seconds pass), `step`
(steps the wall clock it goes by) and `wall` (what that says); one that does not run on both event loops
gives `anyio_backend`. pytest and anyio's plugin run the rest.
"""

from __future__ import annotations

import pytest

for _name in ("stage", "leases", "values", "news"):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")

from wxtoken_asgi.testing.leases import LeaseRules  # noqa: E402 - after its asserts may be rewritten
from wxtoken_asgi.testing.news import NewsRules  # noqa: E402
from wxtoken_asgi.testing.values import ValueRules  # noqa: E402

__all__ = ["StoreContract"]


class StoreContract(LeaseRules, ValueRules, NewsRules):
    """Every rule that a store keeps; see the module's text for what to give."""
