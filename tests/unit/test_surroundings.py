"""What is seen of other workers and hosts, and what is said of it."""

from __future__ import annotations

import logging

import pytest

from wxtoken_asgi import ConfigError, WxTokenMiddleware
from wxtoken_asgi.stores import open_store
from wxtoken_asgi.surroundings import HANDED_DOWN, Surroundings, look_around

from support.faulty_store import FaultyStore
from support.virtual import VirtualClock
from support.world import World

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("argv", "environ", "workers"),
    [
        ("", {}, 1),
        ("uvicorn main:app", {}, 1),
        ("uvicorn main:app --workers 4", {}, 4),
        ("uvicorn --workers=4 main:app", {}, 4),
        ("/x/uvicorn/__main__.py main:app --workers 3", {}, 3),
        ("uvicorn.exe main:app --workers 3", {}, 3),
        ("uvicorn main:app", {"WEB_CONCURRENCY": "4"}, 4),
        ("uvicorn main:app --workers 1", {"WEB_CONCURRENCY": "4"}, 1),
        ("uvicorn main:app --workers", {"WEB_CONCURRENCY": "2"}, 2),
        ("uvicorn main:app --workers x", {}, 1),
        ("uvicorn main:app", {"WEB_CONCURRENCY": ""}, 1),
        ("fastapi run --workers 2", {}, 2),
        ("gunicorn -w 4 main:app", {}, 4),
        ("gunicorn -w4 main:app", {}, 4),
        ("gunicorn -w 4 --workers=2 main:app", {}, 2),
        ("gunicorn --workers 2 -w 4 main:app", {}, 4),
        ("gunicorn main:app", {"GUNICORN_CMD_ARGS": "--bind=:1 --workers=5"}, 5),
        ("gunicorn -w 2 main:app", {"GUNICORN_CMD_ARGS": "-w 5"}, 2),
        ("gunicorn main:app", {"GUNICORN_CMD_ARGS": "-w 5 '", "WEB_CONCURRENCY": "3"}, 3),
        ("hypercorn -w 2 main:app", {"WEB_CONCURRENCY": "4"}, 2),
        ("hypercorn main:app", {"WEB_CONCURRENCY": "4"}, 1),
        ("granian main:app", {"GRANIAN_WORKERS": "4"}, 4),
        ("python --workers 4", {"WEB_CONCURRENCY": "4"}, 1),
        ("pytest -w 4", {"WEB_CONCURRENCY": "4"}, 1),
        ("wxtoken serve --workers 4", {"WEB_CONCURRENCY": "4"}, 1),
        ("uvicorn main:app --workers 4", {HANDED_DOWN: "{}"}, 1),
    ],
)
def test_the_number_of_workers_is_seen_where_a_server_was_told_it(argv, environ, workers):
    assert Surroundings.seen(environ, argv.split(" ") if argv else []).workers == workers


@pytest.mark.parametrize(
    ("argv", "environ", "believes"),
    [
        ("uvicorn main:app", {}, False),
        ("uvicorn main:app --forwarded-allow-ips *", {}, True),
        ("uvicorn main:app --forwarded-allow-ips=*", {}, True),
        ("uvicorn main:app --forwarded-allow-ips 10.0.0.1,*", {}, True),
        ("uvicorn main:app --forwarded-allow-ips 10.0.0.1", {}, False),
        ("uvicorn main:app", {"FORWARDED_ALLOW_IPS": "*"}, True),
        ("uvicorn main:app --forwarded-allow-ips 10.0.0.1", {"FORWARDED_ALLOW_IPS": "*"}, False),
        ("uvicorn main:app --no-proxy-headers", {"FORWARDED_ALLOW_IPS": "*"}, False),
        ("fastapi run --forwarded-allow-ips *", {}, True),
        ("gunicorn main:app", {"GUNICORN_CMD_ARGS": "--forwarded-allow-ips=*"}, True),
        ("gunicorn main:app", {"FORWARDED_ALLOW_IPS": "*"}, True),
        ("hypercorn main:app", {"FORWARDED_ALLOW_IPS": "*"}, False),
        ("uvicorn main:app", {"FORWARDED_ALLOW_IPS": "*", HANDED_DOWN: "{}"}, False),
    ],
)
def test_a_server_that_believes_everybody_is_seen(argv, environ, believes):
    seen = Surroundings.seen(environ, argv.split(" "))
    assert seen.believes_all is believes
    lines = seen.warnings(shared=True, one_host=False, dooming=[])
    assert ["--no-proxy-headers" in line for line in lines] == [True] * believes


def test_a_pod_is_known_by_its_variable_unless_the_parent_has_looked_already():
    assert Surroundings.seen(POD, []).kubernetes is True
    assert Surroundings.seen({}, []).kubernetes is False
    assert Surroundings.seen(POD | {HANDED_DOWN: "{}"}, []).kubernetes is False


def test_workers_without_a_shared_store_would_doom_one_anothers_tokens():
    with pytest.raises(
        ConfigError, match=r"^account alpha: endpoint 'token' with 3 workers needs a store"
    ) as e:
        Surroundings(3).warnings(shared=False, one_host=True, dooming=["alpha", "beta"])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("seen", "shared", "one_host", "words"),
    [
        (Surroundings(1), False, True, []),
        (Surroundings(3), False, True, ["store 'memory:' is each worker's own"]),
        (Surroundings(3), True, False, []),
        (Surroundings(3, kubernetes=True), True, False, []),
        (Surroundings(1, kubernetes=True), True, True, ["a file of their own are several fetchers"]),
        (Surroundings(1, kubernetes=True), False, True, ["a memory of their own are several fetchers"]),
        (Surroundings(2, kubernetes=True), False, True, ["each worker's own", "a memory of their own"]),
    ],
)
def test_an_operator_hears_what_others_would_not_see(seen, shared, one_host, words):
    lines = seen.warnings(shared=shared, one_host=one_host, dooming=[] if seen.workers > 1 else ["alpha"])
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line
        assert line.startswith("store")
        assert "\n" not in line


@pytest.mark.parametrize(("shared", "lines"), [(True, 0), (False, 1)])
def test_in_a_pod_a_store_of_ones_own_is_named(monkeypatch, shared, lines):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert len(look_around(FaultyStore(VirtualClock(), shared=shared), [])) == lines


def test_in_a_pod_a_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    [line] = look_around(open_store(f"sqlite://{tmp_path}/tokens.db"), ["alpha"])
    assert "a file of their own" in line


@pytest.fixture
def four_workers(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/venv/bin/uvicorn", "main:app", "--workers", "4"])


async def test_one_of_four_workers_does_not_open_on_the_old_endpoint(anyio_backend, four_workers):
    tokens = World().manager()
    with pytest.raises(ConfigError, match=r"^account beta: endpoint 'token' with 4 workers needs a store"):
        await tokens.__aenter__()
    assert tokens.open is False


async def test_one_of_four_workers_opens_on_the_stable_endpoint_with_a_warning(
    anyio_backend, four_workers, caplog
):
    world = World()
    with caplog.at_level(logging.WARNING, "wxtoken_asgi"):
        async with world.manager(world.account("alpha")) as tokens:
            assert tokens.open is True
    assert [record.getMessage() for record in caplog.records] == [
        "store 'memory:' is each worker's own: the others do not see what one refreshes"
    ]


async def test_with_a_shared_store_four_workers_are_right(anyio_backend, four_workers, caplog):
    world = World()
    with caplog.at_level(logging.WARNING, "wxtoken_asgi"):
        async with world.manager(store=FaultyStore(world.clock)) as tokens:
            assert tokens.open is True
    assert not caplog.records


async def test_what_a_worker_is_told_is_the_one_line_of_its_failed_start(anyio_backend, four_workers):
    said = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        said.append(message)

    await WxTokenMiddleware(tokens=World().manager())({"type": "lifespan"}, receive, send)
    [message] = said
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"].startswith("account beta: endpoint 'token' with 4 workers")
