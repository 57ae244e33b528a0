"""Read your refresh: what one worker has fetched because it was asked to, the others serve at once."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext

import pytest

from processes.news import BOUND_S, WORKERS, load, several
from processes.places import shared_store

ROUNDS = 6


@pytest.mark.parametrize("word", ["sqlite", "redis"])
def test_after_a_refresh_was_answered_the_others_serve_the_new_token(launch, vault, tmp_path, word):
    with ExitStack() as stack:
        store = stack.enter_context(shared_store(word, tmp_path, vault))
        service = stack.enter_context(several(launch, vault, store, WORKERS[word], ROUNDS))
        for number in range(ROUNDS):
            with load(service, "busy", callers=1) if number % 2 else nullcontext():
                delay = service.measure(f"round-{number}", number % len(service.connections))
            assert delay.within(BOUND_S[word]), delay
