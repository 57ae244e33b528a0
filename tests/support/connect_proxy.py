"""A proxy that lets a client believe it speaks with api.weixin.qq.com, while it speaks with a sandbox."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme


class _Server(socketserver.ThreadingTCPServer):
    block_on_close = True
    tls: ssl.SSLContext
    host: str
    target: int
    tunnels: list[str]


class _Tunnel(socketserver.BaseRequestHandler):
    """One CONNECT: ends TLS itself and hands the plain bytes on."""

    server: _Server

    def handle(self) -> None:
        wanted = self._head().partition(b" HTTP/1.")[0].decode("latin-1")
        self.server.tunnels.append(wanted)
        if wanted != f"CONNECT {self.server.host}:443":
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with (
            contextlib.suppress(OSError),
            self.server.tls.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self.server.target), timeout=10) as sandbox,
        ):
            _pipe(client, sandbox)

    def _head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n") and (part := self.request.recv(1)):
            head += part
        return head


def _pipe(client: ssl.SSLSocket, sandbox: socket.socket) -> None:
    """Both ways in one thread: an SSL socket must not be read and written at the same time."""
    while True:
        ready: list[Any] = [client] if client.pending() else select.select([client, sandbox], [], [], 20)[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (sandbox if source is client else client).sendall(data)
        if not ready:
            return


class ConnectProxy:
    """The running proxy.

    Args:
        url: its address, for `HTTPS_PROXY`.
        ca_file: the throw-away CA's certificate, for `REQUESTS_CA_BUNDLE` or `SSL_CERT_FILE`.
        tunnels: what each request wanted, such as `CONNECT api.weixin.qq.com:443`.
    """

    def __init__(self, url: str, ca_file: Path, tunnels: list[str]) -> None:
        self.url = url
        self.ca_file = ca_file
        self.tunnels = tunnels

    @property
    def environ(self) -> dict[str, str]:
        """What leads a Python program through it."""
        ca_file = str(self.ca_file)
        return {"HTTPS_PROXY": self.url, "REQUESTS_CA_BUNDLE": ca_file, "SSL_CERT_FILE": ca_file}


@contextlib.contextmanager
def connect_proxy(target: int, folder: Path, host: str = "api.weixin.qq.com") -> Iterator[ConnectProxy]:
    """Run the proxy in a thread.

    Args:
        target: the sandbox's port.
        folder: where the CA's certificate is written.
        host: the one host that it leads to.
    """
    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with _Server(("127.0.0.1", 0), _Tunnel) as server:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(server.tls)
        server.host, server.target, server.tunnels = host, target, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield ConnectProxy(f"http://127.0.0.1:{server.server_address[1]}", ca_file, server.tunnels)
        finally:
            server.shutdown()
            thread.join()
