"""A hundred devices in one batch, all of them busy at once, from asyncio.

python examples/hundred_devices.py [HOW_MANY]
"""

import asyncio
import socket
import sys
import time

from patchbay import AsyncLab


def greet(host: str, port: int) -> str:
    """Connect, and return what the reflector says first: the address that it saw."""
    with socket.create_connection((host, port), timeout=30) as connection:
        return connection.makefile().readline().split()[1]


async def main(count: int) -> None:
    begin = time.perf_counter()
    async with AsyncLab("crowd") as lab:
        async with lab.batch():  # planned as a whole, and built in parallel when the block ends
            dc = await lab.add_router("dc", preset="public")
            hall = await lab.add_router("hall", preset="home", downstream="10.64.0.0/16")
            server = await lab.add_device("server", dc)
            crowd = [await lab.add_device(f"phone-{number}", hall) for number in range(count)]
        print(f"{count} devices, built in {time.perf_counter() - begin:.2f} s")

        begin = time.perf_counter()
        async with await server.reflector("tcp") as reflector:
            seen = await asyncio.gather(*(phone.call(greet, *reflector.address) for phone in crowd))
        print(f"all of them have talked to the server after {time.perf_counter() - begin:.2f} s")
        print("whom the server saw:", *set(seen))
        begin = time.perf_counter()
    print(f"closed in {time.perf_counter() - begin:.2f} s")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
