"""What a director can rely on: nodes start, stop, see their files, and are mourned."""

import os
import signal
import socket
import subprocess
import time

import pytest

from actors.connection import Connection
from actors.errors import NodeDied, NodeGone
from actors.node import Node
from tests.actors.clients import PATIENCE, wait_until
from tests.actors.ctrl_c import ctrl_c, main_thread_is_in
from tests.actors.directors import ASLEEP


@pytest.fixture
def odd():
    connection = Connection("t", "tests.actors.directors:Odd", {})
    yield connection
    connection.close()


def read(path):
    with open(path) as file:
        return file.read()


def fork_for_ever():
    """A process that is another one at any moment, and never waits."""
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
            time.sleep(0.001)


def sleeps(other):
    """Whether a supervisor has said that it begins a nap."""
    other.setblocking(False)
    try:
        return other.recv(len(ASLEEP), socket.MSG_PEEK) == ASLEEP
    except BlockingIOError:
        return False


def in_network(connection):
    """How many processes there are in the network of the last node; the supervisor is there too."""
    here = os.stat(f"/proc/{connection.pid}/ns/net").st_ino
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += os.stat(f"/proc/{pid}/ns/net").st_ino == here
        except OSError:
            continue
    return found - 1


def test_a_node_has_its_own_name_network_and_devices(connection):
    a = Node(connection, "a")

    assert a.call(socket.gethostname) == "a"
    assert a.call(socket.if_nameindex) == [(1, "lo")]
    assert a.call(os.listdir, "/sys/class/net") == ["lo"]


def test_a_node_sees_its_files_and_others_see_theirs(odd):
    odd.request("write", name="mine", text="of a")
    odd.request(
        "add_with_files", name="a", files={"/etc/passwd": "mine", "/etc/no-such-file": "mine"}
    )
    odd.request("add", names=["b"])

    assert Node(odd, "a").call(read, "/etc/passwd") == "of a"
    assert Node(odd, "b").call(read, "/etc/passwd") == read("/etc/passwd")


def test_a_file_is_replaced_on_a_node_that_runs_and_stays_so(odd):
    odd.request("write", name="one", text="1")
    odd.request("write", name="two", text="2")
    odd.request("add_with_files", name="a", files={"/etc/passwd": "one"})
    a = Node(odd, "a")
    assert a.call(read, "/etc/passwd") == "1"

    odd.request("replace", node="a", path="/etc/passwd", source="two")

    assert a.call(read, "/etc/passwd") == "2"
    a.restart()
    assert a.call(read, "/etc/passwd") == "2"
    odd.request("write", name="two", text="other words")
    assert a.call(read, "/etc/passwd") == "other words"


def test_a_node_that_cannot_start_says_why_and_leaves_nothing(odd):
    before = sorted(odd.request("descriptors"))

    with pytest.raises(NodeDied, match=r"'a' died: it could not start: .*open_tree"):
        odd.request("add_with_files", name="a", files={"/etc/passwd": "missing"})

    with pytest.raises(NodeGone):
        Node(odd, "a").call(os.getpid)
    assert sorted(odd.request("descriptors")) == before
    odd.request("add", names=["a"])
    assert Node(odd, "a").call(os.getpid) > 0


def test_removing_a_node_kills_all_that_is_in_its_network(odd):
    before = sorted(odd.request("descriptors"))
    odd.request("add", names=["a"])
    a = Node(odd, "a")
    program = a.popen(["sleep", "1000"])
    daemon = a.popen(["sh", "-c", "setsid sleep 1000 & exit 0"])
    daemon.wait()
    assert in_network(odd) == 3

    odd.request("remove", names=["a"])

    assert in_network(odd) == 0
    assert program.wait(PATIENCE) == -signal.SIGKILL
    with pytest.raises(NodeGone):
        a.call(os.getpid)
    assert sorted(odd.request("descriptors")) == before


def test_removing_a_node_kills_processes_that_never_hold_still(odd):
    odd.request("add", names=["a"])
    Node(odd, "a").call(fork_for_ever)

    odd.request("remove", names=["a"])

    assert in_network(odd) == 0


def test_a_restarted_node_has_a_new_process_and_the_old_one_is_forgotten(connection):
    a = Node(connection, "a")
    before = a.call(os.getpid)
    task = a.submit(time.sleep, 1000)

    a.restart()

    assert a.call(os.getpid) != before
    with pytest.raises(NodeDied, match="replaced by restart"):
        task.result(PATIENCE)


def test_a_dead_node_is_reported_once_with_its_last_words(connection):
    a = Node(connection, "a")

    with pytest.raises(NodeDied) as caught:
        a.call(lambda: (print("last words"), os._exit(7)))

    assert str(caught.value) == (
        "node 'a' died: its process exited with status 7\n  its last output:\n    last words"
    )
    for ask in (a.stack, lambda: a.call(os.getpid)):
        with pytest.raises(NodeDied, match="exited with status 7"):
            ask()
    assert connection.request("died") == ["a: its process exited with status 7"]


def test_a_program_that_outlives_its_node_has_its_status_kept(connection):
    a = Node(connection, "a")
    program = a.popen(["sh", "-c", "cat; exit 5"], stdin=subprocess.PIPE)
    with pytest.raises(NodeDied):
        a.call(os._exit, 1)
    program.communicate()

    assert program.returncode == 5


def test_requests_and_answers_may_be_large(odd):
    large = os.urandom(5_000_000)

    assert odd.request("echo", value=large) == large


def test_a_request_that_was_interrupted_does_no_harm_to_the_next(odd):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with ctrl_c(lambda: sleeps(ours) and main_thread_is_in("receive")):
            odd.request_with([theirs.fileno()], "nap")
        ours.send(b".")

        assert odd.request("echo", value="next") == "next"


def test_closing_can_be_interrupted_and_taken_up_again(odd):
    odd.request("add", names=["a"])
    Node(odd, "a").run(
        ["sh", "-c", "trap '' TERM; (while :; do sleep 0.05; done) & exit 0"], capture_output=False
    )
    os.kill(odd.pid, signal.SIGSTOP)  # so that closing takes its time
    with ctrl_c(lambda: main_thread_is_in("wait_readable")):
        odd.close()
    os.kill(odd.pid, signal.SIGCONT)

    with pytest.raises(NodeGone):
        odd.request("echo", value=1)
    odd.close()
    assert not os.path.exists(f"/proc/{odd.pid}")


def test_a_supervisor_that_ends_by_a_mistake_is_reported(odd):
    with pytest.raises(NodeDied, match="the lab's supervisor exited with status 3"):
        odd.request("exit", status=3)


def test_a_lab_asked_to_end_by_sigterm_ends_in_an_orderly_way(odd):
    os.kill(odd.pid, signal.SIGTERM)

    assert wait_until(lambda: not os.path.exists(f"/proc/{odd.pid}"))
    with pytest.raises(NodeDied, match="supervisor exited with status 0"):
        odd.request("echo", value=1)


def test_code_that_runs_when_a_lab_closes_may_finish(odd, tmp_path):
    def work(path):
        try:
            print("begun")
            time.sleep(1000)
        finally:
            with open(path, "w") as file:
                file.write("finished")

    odd.request("be_gracious", seconds=PATIENCE)
    odd.request("add", names=["a"])
    a = Node(odd, "a")
    task = a.submit(work, tmp_path / "note")
    assert wait_until(a.output)

    odd.close()

    assert task.exception(PATIENCE) is not None
    assert (tmp_path / "note").read_text() == "finished"


def test_a_worker_has_what_it_is_given_and_nothing_else(odd):
    odd.request("add", names=["a"])
    ours, theirs = os.pipe()
    with open(ours, "rb") as pipe:
        odd.request_with([theirs], "start_worker")
        os.close(theirs)

        assert odd.request("ask_worker", question="who") == "WHO"
        assert pipe.read().decode() == "[0, 1, 2, 3, 4]"
        assert wait_until(lambda: odd.request("worker_status") == 0)
        assert odd.request("died") == ["worker"]


def test_a_worker_that_fails_ends_and_its_director_hears_of_it(odd):
    odd.request("start_worker", fails=True)

    assert wait_until(lambda: odd.request("worker_status") is not None)
    assert odd.request("worker_status") == 1


def test_a_worker_ends_with_the_lab(odd):
    ours, theirs = os.pipe()
    with open(ours, "rb") as pipe:
        odd.request_with([theirs], "start_worker")
        os.close(theirs)
        assert pipe.read(1) == b"["  # it is at work
        odd.close()

        assert pipe.read().endswith(b"]")  # at its end: the last process has closed it
