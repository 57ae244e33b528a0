"""Who is served behind nginx and behind the servers' own proxy handling: the rows of `proxies_table`."""

from __future__ import annotations

import json
from itertools import product

import pytest
from proxies_table import DIRECT, FORGED, PEERS, ROWS, SERVERS

CELLS = [(row, server) for row in ROWS for server in row.servers]


@pytest.mark.parametrize("server", SERVERS)
def test_servers_tell_of_their_peers_what_the_rules_build_on(stage, server):
    peers = [peer for peer in PEERS if peer.server == server]
    assert peers
    for peer in peers:
        headers = FORGED[peer.forged]
        status, body = stage.ask(server, peer.way, "/peer", headers=headers)
        client, version = json.loads(body)
        host, port = client or (None, None)
        assert status == 200
        assert host == peer.host, peer
        assert port == peer.port or (peer.port is None and (host is None or int(port) > 0)), peer
        assert version in ({"1.1"} if peer.way == DIRECT or "1.1" in peer.way else {"1.0", "1"}), peer


@pytest.mark.parametrize(
    ("row", "server"), CELLS, ids=[f"{row.why}-{server}".replace(" ", "_") for row, server in CELLS]
)
def test_who_is_served_behind_a_proxy(stage, row, server):
    faults = []
    for way, rules, caller, forged in product(row.ways, row.rules, row.callers, row.forged):
        status, _ = stage.ask(server, way, f"/{rules}/token/alpha", caller=caller, headers=FORGED[forged])
        if status != row.status:
            faults.append(f"{status} for {caller} who forges {forged}: {way}, {rules}")
    assert not faults, "\n".join([row.why, *faults])
