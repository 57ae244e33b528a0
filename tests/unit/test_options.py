"""A manager's options are refused in one line that names them."""

from __future__ import annotations

import math

import pytest

from wxtoken_asgi import Account, ConfigError, TokenManager, options

ACCOUNT = Account("alpha", "wx00000000000000a1", "secret-of-alpha-0000000000000000")
NO_SECONDS = [0, -5, math.nan, math.inf, 1e-9, "270", None, True, 10**400]
NO_COUNT = [0, -1, 1.5, "64", None, True, 10_001, 10**400]
NO_WORD = ["", 5, None, "a b", "a:b", "x" * 65, "Ä", "a\n"]


class Rude:
    def __repr__(self):
        raise ValueError("no")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        *(("ask_every", value, "1 to 864000 seconds") for value in NO_SECONDS),
        *(("lease", value, "1 to 3600 seconds") for value in NO_SECONDS),
        *(("fetches", value, "a whole number from 1 to 10000") for value in NO_COUNT),
        *(("namespace", value, "1-64 letters") for value in NO_WORD),
        ("probe_every", "60", "60 to 86400 seconds"),
        ("fetches", Rude(), "a whole number from 1 to 10000, not Rude"),
    ],
    ids=lambda value: ascii(value)[:20] if not isinstance(value, Rude) else "rude",
)
def test_what_makes_no_sense_is_refused_with_its_name(option, value, said):
    with pytest.raises(ConfigError, match=rf"^{option} must be {said}") as caught:
        TokenManager([ACCOUNT], **{option: value})
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_what_makes_sense_is_taken():
    TokenManager([ACCOUNT], ask_every=60, lease=1, fetches=1, namespace="shop-1.b_c", probe_every=0)
    assert options.seconds("lease", 5, least=1, most=10) == 5.0


@pytest.mark.parametrize("value", [10**400, 10**9 + 1, 0, -1, 1.0, True, "2000"])
def test_a_daily_quota_is_a_whole_number_that_can_be_reckoned_with(value):
    with pytest.raises(ConfigError, match="daily_quota must be a whole number from 1 to 1000000000"):
        Account("alpha", "wx00000000000000a1", "secret-of-alpha-0000000000000000", daily_quota=value)
