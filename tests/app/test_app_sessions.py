"""Which kernels of the page are ended, without a server."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import app


def test_kernels_of_visitors_who_left_end_and_those_that_wait_stay():
    kernels = {name: SimpleNamespace(last_activity=None) for name in ("waiting", "left")}
    asked = []

    async def end_if_idle(number):
        asked.append(number)

    async def run():
        ready, starting = asyncio.Future(), asyncio.Future()
        ready.set_result({"kernel_id": "waiting"})
        manager = SimpleNamespace(
            _pools={"page": [ready, starting]},
            get_kernel=kernels.get,
            cull_kernel_if_idle=end_if_idle,
        )
        app._spare_waiting(manager)
        for number in kernels:
            await manager.cull_kernel_if_idle(number)

    before = datetime.now(UTC)
    asyncio.run(run())
    assert asked == ["left"]
    assert kernels["waiting"].last_activity >= before  # who gets it has time to connect


def test_a_server_ends_the_kernels_of_visitors_who_left():
    given = app.settings(8866, "token")
    assert f"--MappingKernelManager.cull_idle_timeout={app.IDLE}" in given
    assert "--Voila.ip=127.0.0.1" in given
