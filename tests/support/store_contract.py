"""The store contract as tests: whoever writes a store runs them on it.

class TestMyStore(StoreContract):
    @pytest.fixture
    def make(self, clock): ...      # a function that makes a store object; all of a test share the records

    @pytest.fixture
    def wipe(self, store): ...      # an async function that empties the database behind the store's back
"""

from __future__ import annotations

from support.store_leases import LeaseRules
from support.store_news import NewsRules
from support.store_values import ValueRules


class StoreContract(LeaseRules, ValueRules, NewsRules):
    """Every rule, on both backends, in virtual time."""
