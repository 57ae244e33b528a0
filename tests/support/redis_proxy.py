"""A TCP proxy before a Redis server that loses answers."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """Passes what is said both ways, unless it is told to lose the answers.

    Attributes:
        url: the address to use in place of the server's.
        lose: `""`, `close` (what is asked gets through; in place of its answer the connection ends) or
            `silence` (no answer, and no end).
        connections: how many were made.
    """

    def __init__(self, port):
        self._port = port
        self.lose = ""
        self.connections = 0
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._answers(there_reader, writer))
        try:
            while data := await reader.read(65536):
                there_writer.write(data)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            back.cancel()
            for one in (writer, there_writer):
                one.close()
                with contextlib.suppress(ConnectionError):
                    await one.wait_closed()
            self._tasks.discard(task)

    async def _answers(self, reader, writer):
        while data := await reader.read(65536):
            if not self.lose:
                writer.write(data)
            elif self.lose == "close":
                writer.close()
                return
        writer.close()
