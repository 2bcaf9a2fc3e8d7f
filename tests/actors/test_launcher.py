"""The first lab of a process starts whatever the process is like, and labs do not meet."""

import multiprocessing
import os
import subprocess
import sys
import threading

import pytest

from actors.connection import Connection
from actors.errors import InternalError
from actors.launching import Launcher
from actors.node import Node
from tests.actors.clients import ROOT, run
from tests.actors.directors import nap

ONE_LAB = """
connection = lab()
connection.request("add", names=["a"])
print(Node(connection, "a").call(lambda: 6 * 7))
connection.close()
"""


def first_pid():
    with_lab = Connection("forked", "actors.bare:Bare", {})
    with_lab.request("add", names=["a"])
    pid = Node(with_lab, "a").call(os.getpid)
    with_lab.close()
    return pid


@pytest.mark.parametrize(
    "flags",
    [[], ["-X", "dev"], ["-W", "error"], ["-X", "dev", "-W", "error"], ["-O"], ["-B", "-s"]],
)
def test_a_lab_starts_under_any_options_of_the_interpreter(flags):
    assert run(ONE_LAB, *flags) == (0, ["42"], "")


def test_a_lab_starts_in_isolated_mode():
    code = f"import sys; sys.path[:] = {[str(ROOT), *sys.path]!r}\n{ONE_LAB}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code.replace("lab()", "Connection('t', 'actors.bare:Bare', {})")
         .replace("connection =", "from actors.connection import Connection\nfrom actors.node import Node\nconnection =", 1)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


def test_nodes_run_with_the_options_of_the_client():
    code = """
connection = lab()
connection.request("add", names=["a"])
print(Node(connection, "a").call(lambda: (sys.flags.optimize, sys.warnoptions, sys._xoptions)))
"""
    flags = ["-OO", "-W", "ignore::ImportWarning", "-X", "utf8=1"]

    assert run(code, *flags)[1] == ["(2, ['ignore::ImportWarning'], {'utf8': '1'})"]


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_a_lab_starts_with_the_standard_streams_closed(closed, tmp_path):
    code = f"""
for number in {closed}:
    os.close(number)
result = lambda: None
{ONE_LAB.replace("print(", "result = (")}
open({str(tmp_path / "result")!r}, "w").write(str(result))
"""
    status, _, _ = run(code)

    assert status == 0
    assert (tmp_path / "result").read_text() == "42"


def test_a_lab_starts_where_the_working_directory_was_removed(tmp_path):
    code = f"os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n{ONE_LAB}"

    assert run(code, cwd=tmp_path) == (0, ["42"], "")


def test_relative_entries_of_the_path_mean_the_same_on_a_node(tmp_path):
    (tmp_path / "besides").mkdir()
    (tmp_path / "besides" / "mine.py").write_text("def answer(): return 42")
    code = """
sys.path.insert(0, "besides")
import mine
connection = lab()
connection.request("add", names=["a"])
print(Node(connection, "a").call(lambda: __import__("mine").answer()))
"""
    assert run(code, cwd=tmp_path) == (0, ["42"], "")


def test_a_module_beside_the_program_does_not_replace_one_of_the_library(tmp_path):
    code = f"open('json.py', 'w').write('raise RuntimeError()')\nsys.path.remove('')\n{ONE_LAB}"

    assert run(code, cwd=tmp_path)[1:] == (["42"], "")


def test_an_environment_that_is_no_text_arrives_as_it_is():
    code = """
os.environb[b"ODD"] = b"\\xff\\xfe="
connection = lab()
connection.request("add", names=["a"])
print(Node(connection, "a").call(lambda: os.environb[b"ODD"]))
"""
    assert run(code) == (0, [r"b'\xff\xfe='"], "")


def test_ignored_and_blocked_signals_of_the_client_do_not_reach_a_node():
    code = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
connection = lab()
connection.request("add", names=["a"])
a = Node(connection, "a")
print(a.call(lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGUSR1))))
print(a.run(["sh", "-c", "kill -INT $$; echo lived on"]).returncode)
"""
    assert run(code)[:2] == (0, ["(set(), <Handlers.SIG_DFL: 0>)", "-2"])


def test_an_interpreter_that_cannot_start_is_reported(monkeypatch):
    code = "sys.executable = '/bin/false'\ntry: lab()\nexcept PatchbayError as error: print(error)"

    status, (line,), _ = run(code)

    assert status == 0
    assert line.startswith("patchbay's launcher could not start (exit status 1)")


def test_an_embedded_interpreter_is_told_what_to_do():
    code = "sys.executable = ''\ntry: lab()\nexcept PatchbayError as error: print(error)"

    assert "set `sys.executable` to one with the same packages" in run(code)[1][0]


def test_a_director_that_raises_is_an_error_of_the_lab():
    with pytest.raises(ValueError, match="on purpose") as caught:
        Connection("t", "tests.actors.directors:Odd", {"error": "on purpose"})

    assert "the supervisor" in caught.value.__notes__[-1]


@pytest.mark.parametrize("name", ["actors.bare:Nobody", "actors.nowhere:Bare"])
def test_a_director_that_is_not_there_is_a_mistake_of_ours(name):
    with pytest.raises(InternalError):
        Connection("t", name, {})


def test_threads_that_start_labs_at_once_each_get_one():
    launcher = Launcher.shared()
    labs = []
    threads = [
        threading.Thread(target=lambda: labs.append(Connection("t", "actors.bare:Bare", {})))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({each.pid for each in labs}) == 8
    assert Launcher.shared() is launcher
    for each in labs:
        each.close()


def test_a_lab_that_closes_slowly_does_not_hold_up_another():
    slow = Connection("slow", "tests.actors.directors:Odd", {})
    with nap(slow) as end:
        closing = threading.Thread(target=slow.close)
        closing.start()

        quick = Connection("quick", "actors.bare:Bare", {})
        quick.close()

        assert closing.is_alive()
        end()
        closing.join()


def _in_fork(results):
    results.put(first_pid())


def test_a_fork_of_the_client_has_labs_of_its_own(connection):
    """And closing, losing or using them there does nothing to those of the parent."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_in_fork, args=(results,))
    child.start()
    child.join()

    assert child.exitcode == 0
    assert results.get() > 0
    assert Node(connection, "a").call(os.getpid) > 0
    results.close()


def test_a_fork_cannot_use_the_labs_of_its_parent():
    code = """
connection = lab()
connection.request("add", names=["a"])
a = Node(connection, "a")
a.call(os.getpid)
if os.fork() == 0:
    try:
        a.call(os.getpid)
    except PatchbayError as error:
        print(str(error).startswith(f"lab 'test' belongs to process {os.getppid()}"), flush=True)
    connection.close()
    sys.exit(0)
os.wait()
print(a.call(lambda: "lives"))
"""
    # from Python 3.12 on it warns of forks beside threads
    assert run(code, "-W", "ignore::DeprecationWarning") == (0, ["True", "lives"], "")


def test_a_fork_that_lives_on_does_not_keep_a_lab_alive():
    code = """
connection = lab()
connection.request("add", names=["a"])
if os.fork() == 0:
    for number in range(3): os.close(number)
    os.environ.clear()
    time.sleep(2)
    os._exit(0)
pid = connection.pid
del connection
while os.path.exists(f"/proc/{pid}"):
    time.sleep(0.01)
print("ended")
connection = lab()
"""
    assert run(code) == (0, ["ended"], "")


def test_a_dead_launcher_is_replaced():
    first = Launcher.shared()
    os.kill(first.pid, 9)
    first._process.wait()

    connection = Connection("t", "actors.bare:Bare", {})

    assert Launcher.shared() is not first
    connection.close()


def test_the_error_names_a_lab_whose_supervisor_died_while_it_started():
    code = """
def kill_supervisor():
    while True:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if open(f"/proc/{pid}/comm").read() == "pb-supervisor\\n":
                    if os.environb[b"PATCHBAY_TEST_CLIENT"] in open(f"/proc/{pid}/environ", "rb").read():
                        os.kill(int(pid), 9)
                        return
            except OSError:
                continue
threading.Thread(target=kill_supervisor).start()
try:
    Connection("test", "tests.actors.directors:Odd", {"nap": 1000})
except PatchbayError as error:
    print(error)
lab().close()
"""
    assert run(code)[:2] == (
        0, ["lab 'test' could not start: the lab's supervisor was killed by signal 9"]
    )  # fmt: skip


def test_a_launcher_that_cannot_be_asked_any_more_ends_with_its_last_lab():
    first, second = (Connection("t", "actors.bare:Bare", {}) for _ in range(2))
    old = Launcher.shared()
    old._channel._torn = True  # as a Ctrl-C in the middle of a message leaves it

    third = Connection("t", "actors.bare:Bare", {})

    assert Launcher.shared() is not old
    first.close()
    assert old._process.poll() is None
    second.close()
    assert old._process.poll() == 0
    third.close()
    assert Launcher.shared()._process.poll() is None


def test_a_launcher_that_cannot_be_asked_any_more_and_has_no_lab_ends_at_once():
    old = Launcher.shared()
    old._channel._torn = True

    new = Launcher.shared()

    assert new is not old
    assert old._process.poll() == 0
