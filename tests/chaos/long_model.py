"""Very many random operations against a plain Python model, with reopenings, by a process that is killed in between.

``python -m tests.chaos.long_model --operations 200000`` ends with the first answer that the model does not give.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.chaos.stores import postgres_server, running_store
from tests.vectorstore.model import Model, one_opening


async def run(operations: int, openings: int, seed: int) -> Model:
    """Opens a store so many times; every other one is killed and not stopped."""
    rng, model = np.random.default_rng(seed), Model()
    start_s = time.monotonic()
    async with postgres_server() as postgres:
        url = await postgres.make_database()
        with tempfile.TemporaryDirectory(prefix="twin-chaos-") as folder:
            for opening in range(openings):
                async with running_store(Path(folder) / "run" / "data", url) as store:
                    await one_opening(store.stub, model, rng, operations // openings)
                    if opening % 2:
                        store.process.kill()
                print(
                    f"{model.operation_count:9,} operations, {len(model.photos):6,} photos, {len(model.deleted):7,} "
                    f"deleted, {time.monotonic() - start_s:6.0f} s",
                    flush=True,
                )
    return model


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.long_model", description=__doc__)
    parser.add_argument("--operations", type=int, default=200_000)
    parser.add_argument("--openings", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    asyncio.run(run(arguments.operations, arguments.openings, arguments.seed))
    print("equal each time")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
