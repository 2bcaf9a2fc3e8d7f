"""The process of a recording, for tests that stop or kill it."""

from pathlib import Path

from tests.waiting import wait_until


def recorder(lab):
    """The process id of the only recording of a lab."""
    found = []
    # a moment after its start it has its name
    wait_until(lambda: found.extend(_named(lab, "pb-capture")) or found)
    return found[0]


def _named(lab, name):
    supervisor = lab._connection.pid
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if Path(f"/proc/{pid}/comm").read_text() == f"{name}\n":
            yield int(pid)
