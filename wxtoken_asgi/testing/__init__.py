"""The store contract as tests, for whoever writes a store for another database.

pytest and anyio's plugin, which comes with anyio, run them. Write one class in a test file of yours:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def make(self, clock, database):  # makes store objects; all of one test share the records
            return lambda: MyStore(database, clock)

        @pytest.fixture
        def wipe(self, database):  # an async function that empties the database behind the stores' backs
            return database.empty

Each test begins with an empty database. A store that takes its time from the `clock` it is given needs no
more: the tests move that clock. One with a clock of its own overrides three fixtures, each a function:

    later(seconds)  lets seconds pass by the store's clock: leases and values end
    step(seconds)   steps the wall clock that the store sees, and no other
    wall()          what that wall clock says, in seconds since 1970

A store for one event loop only overrides `anyio_backend` with a fixture that returns "asyncio" or "trio"; a
store for one process returns one object from `make` again and again. `most_changes`, a class attribute, is
how many changes a cursor may be behind before the store answers "everything". A few tests wait, 7 s in all
for each loop.

What each operation promises stands in `wxtoken_asgi.stores.contract`, the rules for one record in
`wxtoken_asgi.stores.row`.
"""

from __future__ import annotations

import pytest

for _name in ("stage", "leases", "values", "doubts", "unleased", "spending", "news"):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")

from wxtoken_asgi.testing.doubts import DoubtRules  # noqa: E402 - after its asserts may be rewritten
from wxtoken_asgi.testing.leases import LeaseRules  # noqa: E402
from wxtoken_asgi.testing.news import NewsRules  # noqa: E402
from wxtoken_asgi.testing.spending import SpendingRules  # noqa: E402
from wxtoken_asgi.testing.unleased import UnleasedRules  # noqa: E402
from wxtoken_asgi.testing.values import ValueRules  # noqa: E402

__all__ = ["StoreContract"]


class StoreContract(LeaseRules, ValueRules, DoubtRules, UnleasedRules, SpendingRules, NewsRules):
    """Every rule that a store keeps; see the module's text for what to give."""

    pytestmark = pytest.mark.anyio
