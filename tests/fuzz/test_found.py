"""What fuzzing has found, each in its shortest form."""

from __future__ import annotations

import httpx
import pytest

from wxtoken_asgi import Account, ConfigError
from wxtoken_asgi.config import load
from wxtoken_asgi.weixin import Request, UpstreamError, Weixin

PASSWORD = "store-password"


@pytest.mark.parametrize("coding", [b"\xe9", b"\xc3\xa9", b"gzip\xff"])
async def test_a_content_encoding_of_any_bytes_is_no_crash(coding, anyio_backend):
    def answer(request):
        return httpx.Response(200, headers=[(b"content-encoding", coding)], content=b"{}")

    async with Weixin(httpx.MockTransport(answer)) as weixin:
        account = Account("alpha", "wx1", "secret")
        assert await weixin.call(account, Request("/cgi-bin/token")) == {}


async def test_a_content_encoding_that_lies_is_an_upstream_error(anyio_backend):
    class Body(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b"{}"

    def answer(request):
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Body())

    async with Weixin(httpx.MockTransport(answer)) as weixin:
        with pytest.raises(UpstreamError):
            await weixin.call(Account("alpha", "wx1", "secret"), Request("/cgi-bin/token"))


@pytest.mark.parametrize("setting", ["store_env", "store_file"])
def test_a_store_url_in_place_of_a_variables_or_a_files_name_is_not_told(tmp_path, setting):
    path = tmp_path / "wxtoken.toml"
    path.write_text(f'{setting} = "redis://u:{PASSWORD}@h:6379/0"\n[accounts.a]\nappid = "wx1"\nsecret = "s"')
    with pytest.raises(ConfigError, match="named there") as caught:
        load(str(path), environ={})
    assert PASSWORD not in str(caught.value)
