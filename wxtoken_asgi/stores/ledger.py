"""Rolling 24-hour counts in hourly buckets: never more than the limit in any 24 hours."""

from __future__ import annotations

HOUR_S = 3600
WINDOW_H = 24

Buckets = dict[int, int]
"""Hour number (store time // 3600) → how many were spent in that hour."""


def used(buckets: Buckets, now_s: float) -> int:
    """How many count against the limit now: this hour's and the 24 hours' before it."""
    first = int(now_s // HOUR_S) - WINDOW_H
    return sum(count for hour, count in buckets.items() if hour >= first)


def room_in(buckets: Buckets, limit: int, now_s: float) -> float:
    """Seconds until one more fits under the limit; 0: it fits now."""
    over = used(buckets, now_s) + 1 - limit
    if over <= 0:
        return 0.0
    first = int(now_s // HOUR_S) - WINDOW_H
    for hour in sorted(hour for hour in buckets if hour >= first):
        over -= buckets[hour]
        if over <= 0:
            return (hour + WINDOW_H + 1) * HOUR_S - now_s
    return float((WINDOW_H + 1) * HOUR_S)


def eased_in(buckets: Buckets, now_s: float) -> float:
    """Seconds until fewer count than now; 0: none does."""
    first = int(now_s // HOUR_S) - WINDOW_H
    oldest = min((hour for hour in buckets if hour >= first), default=None)
    return 0.0 if oldest is None else (oldest + WINDOW_H + 1) * HOUR_S - now_s


def spend(buckets: Buckets, now_s: float, count: int = 1) -> Buckets:
    """So many more, and what no longer counts dropped."""
    hour = int(now_s // HOUR_S)
    kept = {h: spent for h, spent in buckets.items() if h >= hour - WINDOW_H}
    return kept | {hour: kept.get(hour, 0) + count}


def refund(buckets: Buckets) -> Buckets:
    """Take back the last one that was spent."""
    hour = max(buckets)
    rest = buckets | {hour: buckets[hour] - 1}
    return {h: count for h, count in rest.items() if count > 0}
