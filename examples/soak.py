"""Labs over and over: what this process holds stays the same, and nothing is left behind.

python examples/soak.py [HOW_MANY]
"""

import os
import resource
import sys
import threading

from patchbay import Lab


def one_lab() -> None:
    with Lab("soak") as lab:
        home = lab.add_router("home", preset="home")
        laptop = lab.add_device("laptop", home)
        server = lab.add_device("server", lab.add_router("dc", preset="public"))
        assert laptop.ping(server)
        assert server.call(os.getpid) != laptop.call(os.getpid)
        laptop.iface("eth0").replug("dc")
        assert server.ping(laptop)


def holdings() -> dict[str, int]:
    return {
        "open files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "MB at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main(count: int) -> None:
    print(f"{'labs':>6}  {'  '.join(holdings())}")
    for number in range(1, count + 1):
        one_lab()
        if number == 1 or number % max(1, count // 5) == 0:
            print(f"{number:6}  " + "  ".join(f"{n:{len(w)}}" for w, n in holdings().items()))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
