import anyio


async def test_two_days_pass(world):
    async with world.manager() as tokens:
        first = await tokens.access_token("beta")
        await anyio.sleep(48 * 3600)
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert first != await tokens.access_token("beta")
    print(world.count("token"), world.count("stable_token"))
