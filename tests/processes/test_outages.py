"""Short outages of each kind that `processes.outages` knows."""

from __future__ import annotations

from processes.outages import KINDS, ground

SECONDS = 2.0


def test_readers_do_not_notice_that_redis_goes_away_and_nothing_is_fetched(tmp_path):
    with ground(tmp_path) as place:
        outages = [place.play(kind, SECONDS) for kind in KINDS if kind != "failed-over"]
    assert [f"{outage.kind}: {fault}" for outage in outages for fault in outage.faults] == []
    assert all(outage.reads > 100 for outage in outages)


def test_readers_do_not_notice_that_redis_fails_over(tmp_path):
    with ground(tmp_path, sentinel=True) as place:
        outage = place.play("failed-over", SECONDS)
    assert outage.faults == []
    assert outage.reads > 100
