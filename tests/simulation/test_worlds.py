"""The whole pipeline in virtual time: whatever a seed brings and wherever the process dies, the guarantees hold."""

from itertools import count

import pytest

from tests.simulation.world import Crash, World
from tests.virtual import run

SEEDS_WITHOUT_CRASHES = range(25)
SEEDS_IN_MEMORY = (102, 103, 105, 107)
SEEDS_ON_DISK = (105,)


async def _live_and_die(world: World, *deaths: int) -> int:
    """Run *world* with a process for each death and a last one that lives; return the steps of the first."""
    steps = 0
    for number, dies_at in enumerate((*deaths, None)):
        process = await world.live(dies_at)
        if number == 0:
            steps = process.steps
        if not process.died.is_set():
            break
    return steps


@pytest.mark.parametrize("seed", SEEDS_WITHOUT_CRASHES)
def test_a_world_without_crashes(seed):
    """Everything that is acknowledged ends in a named state, no sink holds anything twice, and nobody is overtaken."""
    world = World(seed, size=8)
    run(_live_and_die(world))
    world.check()


@pytest.mark.parametrize("seed", SEEDS_IN_MEMORY)
def test_a_crash_at_every_step(seed):
    """A crash between any two steps loses nothing and doubles nothing at a sink that can notice."""
    for k in count(1):
        world = World(seed)
        if run(_live_and_die(world, k)) < k:
            break
        assert world.lives == 2, f"seed {seed}, crash at {k}"
        world.check()
    assert k > 30


@pytest.mark.parametrize("seed", SEEDS_ON_DISK)
def test_a_crash_at_every_step_on_disk(seed, tmp_path):
    """The same holds for a store on a disk that is opened again, and its own check finds nothing."""
    for k in count(1):
        world = World(seed, tmp_path / f"{k}.db", size=2)
        if run(_live_and_die(world, k)) < k:
            break
        assert world.lives == 2, f"seed {seed}, crash at {k}"
        world.check()
    assert k > 30


@pytest.mark.parametrize("seed", SEEDS_IN_MEMORY)
def test_a_crash_while_recovering(seed):
    """A process that dies while it takes over from a dead one costs nothing either."""
    for k in range(5, 60, 10):
        for again in range(1, 12):
            world = World(seed)
            run(_live_and_die(world, k, again))
            world.check()


def test_the_check_finds_what_was_lost():
    """An acknowledgement whose delivery the store does not have is found: the check is not blind."""
    world = World(0)
    run(_live_and_die(world))
    receipt = world.acknowledged[0]
    del world.memory._deliveries[receipt.delivery_id]
    with pytest.raises(AssertionError):
        world.check()


def test_nothing_catches_a_crash():
    """A crash is no `Exception`: no handler of the pipeline can go on after it."""
    assert not issubclass(Crash, Exception)
