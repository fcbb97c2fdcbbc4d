"""The pool knows how long an idle model stays."""

from runtime.core.ids import ModelId
from runtime.core.settings import ModelsSettings
from tests.unit.backends.test_pool import open_bench

SMALL = ModelId("small")
STAYS_S = ModelsSettings().idle_unload_s


async def test_a_model_stays_so_long_from_its_last_use_on() -> None:
    async with open_bench() as bench:
        assert bench.pool.leaves_in_s(SMALL) is None
        await bench.use("small")
        assert bench.pool.leaves_in_s(SMALL) == STAYS_S

        bench.clock.advance(100.0)
        assert bench.pool.leaves_in_s(SMALL) == STAYS_S - 100
        async with bench.pool.lease(SMALL):
            bench.clock.advance(100.0)
            assert bench.pool.leaves_in_s(SMALL) == STAYS_S

        bench.clock.advance(2 * STAYS_S)
        assert bench.pool.leaves_in_s(SMALL) == 0
