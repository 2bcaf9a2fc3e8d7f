"""What kind of time it is, and skipping it."""

import asyncio

import pytest

import patchbay
from patchbay import AsyncLab, ConfigError, HostNotCapable, Lab, NodeGone, clock

needs_real_time = pytest.mark.skipif(clock.is_virtual(), reason="time is virtual here")


def test_it_is_part_of_the_package():
    assert patchbay.clock is clock
    assert clock.kind() in ("real", "virtual", "virtual-cpu")
    assert clock.is_virtual() == (clock.kind() != "real")


@needs_real_time
def test_real_time_is_not_skipped_and_says_what_is():
    async def asynchronous():
        async with AsyncLab() as lab:
            await lab.advance(1)

    with Lab() as lab, pytest.raises(HostNotCapable, match="time is real here") as refused:
        lab.advance(1)
    with pytest.raises(HostNotCapable):
        asyncio.run(asynchronous())

    assert "patchbay guest --time virtual" in refused.value.remedy
    assert "--patchbay-guest=virtual" in refused.value.remedy


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_passes_forwards(seconds):
    with pytest.raises(ConfigError, match="no time that can pass"):
        clock.advance(seconds)


def test_a_closed_lab_has_no_time():
    with Lab("short") as lab:
        pass

    with pytest.raises(NodeGone, match="lab 'short' is closed"):
        lab.advance(1)


@pytest.mark.parametrize("kind", ["real", "virtual", "virtual-cpu"])
def test_a_guest_knows_its_time(guest, kind):
    told = guest.python("from patchbay import clock; print(clock.kind())", time=kind)

    assert told == f"{kind}\n"


def test_what_is_due_happens_in_its_order(guest):
    told = guest.python("""
        import asyncio, time
        from patchbay import AsyncLab, Lab

        async def tick(seconds):
            await asyncio.sleep(seconds)
            return time.time()

        async def twin():
            begun = time.time()
            async with AsyncLab() as lab:
                await lab.advance(3600)
            return time.time() - begun

        with Lab("clocks") as lab:
            router = lab.add_router("router")
            one, two = lab.add_device("one", router), lab.add_device("two", router)
            begun = time.time()
            ticks = [one.spawn(tick, 3 * 86400), two.spawn(tick, 86400)]
            lab.advance(2 * 86400)
            print([task.done() for task in ticks], round(ticks[1].result() - begun))
            lab.advance(86400 + 1)
            print([task.done() for task in ticks], round(ticks[0].result() - begun))
            print(one.call(time.time) - begun > 3 * 86400)
        print(round(asyncio.run(twin())))
    """)

    assert told == "[False, True] 86400\n[True, True] 259200\nTrue\n3600\n"
