"""A part of the matrix: every server, app and behaviour at least once. `run.py` runs all of it."""

from __future__ import annotations

import pytest
from matrix_cells import APPS, MODES, SERVERS, Cell, all_cells
from matrix_drive import run_cell, sandbox

CHOSEN = [
    Cell("uvicorn auto", "starlette", "dies"),
    Cell("uvicorn auto", "bare", "refuses"),
    Cell("uvicorn auto", "quart", "refuses"),
    Cell("uvicorn auto", "wsgi", "starts"),
    Cell("uvicorn off", "fastapi", "refuses"),
    Cell("hypercorn asyncio", "quart", "starts"),
    Cell("hypercorn asyncio", "fastapi", "refuses"),
    Cell("hypercorn asyncio", "bare", "dies"),
    Cell("hypercorn trio", "quart", "dies"),
    Cell("hypercorn trio", "starlette", "refuses"),
    Cell("granian asgi", "litestar", "dies"),
    Cell("granian asgi", "bare", "refuses"),
    Cell("granian asgi", "django", "no-lifespan"),
    Cell("granian asginl", "bare", "starts"),
    Cell("daphne", "django", "no-lifespan"),
]


@pytest.fixture(scope="module")
def wechat():
    with sandbox() as api_base:
        yield api_base


@pytest.mark.parametrize("cell", CHOSEN, ids=str)
def test_a_real_server_and_a_wrapped_app_do_what_the_matrix_says(cell, wechat):
    result = run_cell(cell, wechat)
    assert not result.faults, f"{result.outcome}\n{result.output}"


def test_every_server_app_and_behaviour_has_its_cell_here():
    assert {cell.server for cell in CHOSEN} == set(SERVERS)
    assert {cell.app for cell in CHOSEN} == set(APPS)
    assert {cell.mode for cell in CHOSEN} == set(MODES)
    assert [cell for cell in CHOSEN if cell.impossible] == []


def test_every_app_has_a_cell_on_every_server_or_a_reason_why_not():
    lacking = {
        (server, app)
        for server in SERVERS
        for app in APPS
        if all(cell.impossible for cell in all_cells() if (cell.server, cell.app) == (server, app))
    }
    assert lacking == {("hypercorn trio", "django"), ("hypercorn trio", "wsgi")}
