"""`run` and `popen`: all of `subprocess`, with a node as the parent."""

from __future__ import annotations

import errno
import gc
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from actors.connection import Connection
from actors.errors import NodeDied, TravelError
from actors.node import Node
from tests.actors.clients import PATIENCE, wait_until

PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before it was opened, or read
        return False


# --- run -----------------------------------------------------------------------------------------


def test_run_captures_text_by_default(a: Node) -> None:
    done = a.run(["sh", "-c", "echo out; echo err >&2; exit 3"])

    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    assert done.args == ["sh", "-c", "echo out; echo err >&2; exit 3"]


def test_run_with_capture_output_is_as_in_subprocess(a: Node) -> None:
    assert a.run(["echo", "x"], capture_output=True).stdout == b"x\n"
    assert a.run(["echo", "x"], capture_output=True, text=True).stdout == "x\n"
    assert a.run(["echo", "x"], capture_output=False).stdout is None


def test_run_runs_on_the_node(a: Node) -> None:
    assert a.run(["hostname"]).stdout == "a\n"


def test_run_with_input(a: Node) -> None:
    assert a.run(["cat"], input="text").stdout == "text"
    assert a.run(["cat"], input=b"\xff").stdout == b"\xff"
    megabytes = os.urandom(3 << 20)
    assert a.run(["cat"], input=megabytes).stdout == megabytes


def test_run_with_check(a: Node) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        a.run("echo broken >&2; exit 9", shell=True, check=True)

    assert caught.value.returncode == 9
    assert caught.value.stderr == "broken\n"


def test_run_with_timeout_kills_the_whole_group_and_keeps_the_output(a: Node) -> None:
    def programs() -> list[str]:
        return a.run(["ps", "-eo", "comm"]).stdout.split()

    for timeout in (0.3, 3, 30):  # until there was time to say something
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            a.run("echo begun; sleep 3600 & sleep 3600; true", shell=True, timeout=timeout)
        if caught.value.stdout:
            break

    assert caught.value.stdout in ("begun\n", b"begun\n")
    assert wait_until(lambda: "sleep" not in programs())


@pytest.mark.parametrize(
    "options",
    [{"capture_output": True, "stdout": PIPE}, {"input": "x", "stdin": PIPE}],
)
def test_run_refuses_what_contradicts_itself(a: Node, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="leave out"):
        a.run(["true"], **options)  # type: ignore[arg-type]


def test_arguments_may_be_addresses_paths_and_nodes(a: Node) -> None:
    class Device:
        lab = object()
        ip = ipaddress.ip_address("198.18.0.1")

    arguments = ["echo", ipaddress.ip_address("2001:db8::1"), Path("/x"), 5, Device(), b"bytes"]
    assert a.run(arguments).stdout == "2001:db8::1 /x 5 198.18.0.1 bytes\n"


# --- streams -------------------------------------------------------------------------------------


def test_pipes_are_pipes_of_this_process(a: Node) -> None:
    with a.popen(["cat"], stdin=PIPE, stdout=PIPE) as process:
        for i in range(100):
            process.stdin.write(b"%d\n" % i)
            process.stdin.flush()
            assert process.stdout.readline() == b"%d\n" % i
        process.stdin.close()

    assert process.returncode == 0


def test_communicate_with_both_streams(a: Node) -> None:
    process = a.popen("cat; echo err >&2", shell=True, stdin=PIPE, stdout=PIPE, stderr=PIPE)

    assert process.communicate(b"in") == (b"in", b"err\n")


def test_communicate_with_timeout_may_be_repeated(a: Node) -> None:
    read, write = os.pipe()
    process = a.popen("read line; echo $line", shell=True, stdin=read, stdout=PIPE, text=True)
    os.close(read)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.05)
    os.write(write, b"later\n")
    os.close(write)

    assert process.communicate(timeout=30)[0] == "later\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "é\r\n".encode("latin1")),
        ({"text": True, "encoding": "latin1"}, "é\n"),
        ({"universal_newlines": True, "errors": "replace"}, "\ufffd\n"),
        ({"encoding": "latin1", "bufsize": 1}, "é\n"),
    ],
)
def test_text_is_decoded_here(a: Node, options: dict[str, object], expected: object) -> None:
    with a.popen(["printf", "\\351\\r\\n"], stdout=PIPE, **options) as process:
        assert process.stdout.read() == expected


def test_stderr_goes_where_stdout_goes(a: Node, tmp_path: Path) -> None:
    both = "echo out; echo err >&2"
    assert a.popen(both, shell=True, stdout=PIPE, stderr=STDOUT).communicate()[0] == b"out\nerr\n"
    with open(tmp_path / "file", "wb") as file:
        a.popen(both, shell=True, stdout=file, stderr=STDOUT).wait()
    assert (tmp_path / "file").read_bytes() == b"out\nerr\n"
    a.popen(both, shell=True, stderr=STDOUT).wait()
    assert [(line.stream, line.text) for line in a.output()] == [
        ("stdout", "out"),
        ("stdout", "err"),
    ]


def test_files_and_devnull(a: Node, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file")
    with open(tmp_path / "in") as source, open(tmp_path / "out", "w") as target:
        a.popen(["cat"], stdin=source, stdout=target.fileno()).wait()
    assert (tmp_path / "out").read_text() == "from a file"
    quiet = a.popen("cat; echo out; echo err >&2", shell=True, stdin=DEVNULL, stdout=DEVNULL,
                    stderr=DEVNULL)  # fmt: skip
    assert quiet.wait() == 0
    assert a.output() == []


def test_program_reads_nothing_from_the_node_by_default(a: Node) -> None:
    assert a.run(["cat"], timeout=30).stdout == ""


def test_unpiped_output_is_the_output_of_the_node(a: Node) -> None:
    a.popen("echo out; echo err >&2", shell=True).wait()

    assert {(line.stream, line.text) for line in a.output()} == {
        ("stdout", "out"),
        ("stderr", "err"),
    }


def test_pass_fds(a: Node) -> None:
    read, write = os.pipe()
    process = a.popen(f"echo passed > /proc/self/fd/{write}", shell=True, pass_fds=[write])
    os.close(write)
    with open(read, "rb") as file:
        assert file.read() == b"passed\n"
    assert process.wait() == 0


def test_pass_fds_with_numbers_that_the_node_uses_itself(a: Node) -> None:
    """Whatever its own descriptors are, the program's have the numbers that were asked for."""
    read, write = os.pipe()
    held = []
    try:
        for number in range(3, 40):
            try:
                os.fstat(number)
            except OSError:
                os.dup2(write, number)
                held.append(number)
        script = "".join(f"echo {each} > /proc/self/fd/{each};" for each in held)
        process = a.popen(script, shell=True, pass_fds=held)
        assert process.wait() == 0
        with pytest.raises(FileNotFoundError):
            a.popen(["there-is-no-such-program"], pass_fds=held)
    finally:
        for number in (*held, write):
            os.close(number)
    with open(read, "rb") as file:
        assert file.read() == b"".join(b"%d\n" % each for each in held)


# --- how it is started ---------------------------------------------------------------------------


def test_environment_and_directory_are_those_of_this_process(
    a: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SET_LATE", "yes")
    monkeypatch.chdir(tmp_path)

    assert a.run("echo $SET_LATE; pwd", shell=True).stdout == f"yes\n{tmp_path}\n"


def test_environment_and_directory_may_be_given(a: Node, tmp_path: Path) -> None:
    done = a.run(["/bin/sh", "-c", "env; pwd"], env={"ONLY": "this"}, cwd=tmp_path)

    assert "ONLY=this\n" in done.stdout
    assert "PATH=/" not in done.stdout
    assert done.stdout.endswith(f"{tmp_path}\n")


def test_preexec_fn_umask_executable_and_restore_signals(a: Node, tmp_path: Path) -> None:
    def prepare() -> None:
        os.environ["LOST"] = "x"
        os.nice(3)

    assert a.run(["nice"], preexec_fn=prepare).stdout == f"{os.nice(0) + 3}\n"
    a.run(["touch", "made"], cwd=tmp_path, umask=0o077)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600
    assert a.run(["other", "-c", "echo $0"], executable="/bin/sh").stdout.strip() in ("other", "")


@pytest.mark.parametrize(
    ("cmd", "options", "error", "filename"),
    [
        (["there-is-no-such-program"], {}, FileNotFoundError, "there-is-no-such-program"),
        (["/etc/passwd"], {}, PermissionError, "/etc/passwd"),
        (["true"], {"cwd": "/there/is/no/such"}, FileNotFoundError, "/there/is/no/such"),
        (["true"], {"cwd": "/etc/passwd"}, NotADirectoryError, "/etc/passwd"),
    ],
)
def test_start_errors_raise_as_themselves(
    a: Node, cmd: list[str], options: dict[str, object], error: type[OSError], filename: str
) -> None:
    with pytest.raises(error) as caught:
        a.popen(cmd, **options)

    assert caught.value.filename == filename
    assert "on node 'a'" in caught.value.__notes__


def test_other_mistakes_raise_as_themselves(a: Node) -> None:
    with pytest.raises(TypeError, match="colour"):
        a.popen(["true"], colour="red")
    with pytest.raises(ValueError, match="null byte"):
        a.popen(["a\0b"])
    with pytest.raises(subprocess.SubprocessError):
        a.popen(["true"], preexec_fn=lambda: 1 / 0)
    with pytest.raises(TravelError):
        a.popen(["true"], preexec_fn=threading.Lock().acquire)
    with pytest.raises(ValueError, match="leave out"):
        a.popen(["true"], pty=True, stdout=PIPE)


# --- its end -------------------------------------------------------------------------------------


def test_wait_poll_and_returncode(a: Node) -> None:
    process = a.popen(["cat"], stdin=PIPE)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.stdin.close()

    assert process.wait(PATIENCE) == 0
    assert process.poll() == process.returncode == 0
    process.kill()
    process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_returncode_of_a_signal(a: Node, number: signal.Signals) -> None:
    process = a.popen(["sleep", "60"])
    process.send_signal(number)

    assert process.wait() == -number


def test_pid_is_visible_here(a: Node) -> None:
    def is_sleep(pid: int) -> bool:
        return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"

    with a.popen(["sleep", "60"]) as process:
        # its descriptors are closed, and it has started, a moment before it has its name
        assert wait_until(lambda: is_sleep(process.pid))
        assert a.call(is_sleep, process.node_pid)
        process.kill()


def test_pid_of_a_program_that_ends_at_once(a: Node) -> None:
    for _ in range(50):
        process = a.popen(["true"])
        assert process.pid > 0
        assert process.wait() == 0


def test_kill_ends_the_whole_group(a: Node) -> None:
    process = a.popen("sleep 60 & echo $!; sleep 60", shell=True, stdout=PIPE)
    inside = int(process.stdout.readline())
    process.kill()

    assert process.wait() == -signal.SIGKILL
    assert process.stdout.read() == b""  # so nobody has it any more
    process.stdout.close()
    assert a.call(lambda pid: not os.path.exists(f"/proc/{pid}/exe"), inside)


def test_terminate_reaches_the_whole_group_and_send_signal_the_program(a: Node) -> None:
    process = a.popen("sleep 60; echo survived", shell=True, stdout=PIPE)
    process.terminate()
    assert process.communicate() == (b"", None)
    script = "trap 'exit 5' USR1; echo ready; while true; do sleep 0.01; done"
    process = a.popen(script, shell=True, stdout=PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 5
    process.stdout.close()


def test_several_threads_may_wait(a: Node) -> None:
    process = a.popen(["cat"], stdin=PIPE)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(process.wait())) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert process.poll() is None
    process.kill()
    for thread in threads:
        thread.join()
    process.stdin.close()

    assert found == [-signal.SIGKILL] * 5


def test_exit_status_when_the_node_died_before_the_program(a: Node) -> None:
    process = a.popen("read line; exit 7", shell=True, stdin=PIPE)
    with pytest.raises(NodeDied):
        a.call(os._exit, 1)
    assert process.poll() is None
    process.communicate(b"\n")

    assert process.returncode == 7


def test_program_dies_with_its_lab(connection: Connection, a: Node) -> None:
    process = a.popen(["sleep", "60"])
    pid = process.pid
    connection.close()

    assert not alive(pid)
    assert process.wait(PATIENCE) == -signal.SIGKILL or process.returncode == -signal.SIGTERM


def test_program_that_nobody_waits_for_is_reported_and_does_no_harm(a: Node) -> None:
    process = a.popen(["sleep", "0.2"])
    with pytest.warns(ResourceWarning, match="was not waited for"):
        del process

    assert a.run(["sleep", "0.3"]).returncode == 0
    assert a.call(lambda: 1) == 1


def test_normal_use_gives_no_warning_and_leaves_no_descriptor(a: Node) -> None:
    def count() -> int:
        return a.call(lambda: len(os.listdir("/proc/self/fd")))

    a.run(["true"])
    a.popen(["true"], pty=True).__exit__(None, None, None)
    there, before = count(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        a.run(["cat"], input="x", stderr=STDOUT)
        with a.popen(["true"], stdout=PIPE, stderr=PIPE, stdin=DEVNULL):
            pass
        with a.popen(["true"], pty=True):
            pass
        with pytest.raises(FileNotFoundError):
            a.popen(["no-such-program"], stdout=PIPE, stdin=PIPE)
        with pytest.raises(FileNotFoundError):
            a.popen(["no-such-program"], pty=True)
    gc.collect()

    assert wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert wait_until(lambda: count() <= there), "the node closes its ends a moment later"


def test_many_programs_at_once(a: Node) -> None:
    processes = [a.popen(["sh", "-c", f"exit {i}"]) for i in range(50)]

    assert [process.wait() for process in processes] == list(range(50))


def test_programs_start_while_a_call_blocks(a: Node) -> None:
    task = a.submit(time.sleep, 60)

    assert a.run(["echo", "beside"]).stdout == "beside\n"
    assert not task.done()


# --- terminals -----------------------------------------------------------------------------------


def read_all(process: subprocess.Popen[bytes]) -> str:
    data = b""
    while True:
        try:
            piece = process.terminal.read(4096)  # type: ignore[attr-defined]
        except OSError as error:
            if error.errno != errno.EIO:  # the end of what a terminal says
                raise
            return data.decode()
        data += piece


def test_pty_is_a_controlling_terminal(a: Node) -> None:
    script = (
        "test -t 0 && test -t 1 && test -t 2 && echo yes > /dev/tty; ps -o tty= -p $$; stty size"
    )
    with a.popen(script, shell=True, pty=True) as process:
        said = read_all(process)

    assert said.startswith("yes\r\n")
    assert "?" not in said
    assert process.returncode == 0


def test_pty_has_a_window_size_that_can_be_changed(a: Node) -> None:
    script = "trap 'stty size; exit' WINCH; stty size; while true; do sleep 0.01; done"
    with a.popen(script, shell=True, pty=True) as process:
        first = b""
        while not first.endswith(b"\n"):
            first += process.terminal.read(100)
        termios.tcsetwinsize(process.terminal.fileno(), (11, 22))
        second = read_all(process)

    assert all(int(number) > 0 for number in first.split())
    assert second == "11 22\r\n"


def test_interrupt_character_of_a_terminal_ends_the_program(a: Node) -> None:
    with a.popen("echo ready; exec sleep 60", shell=True, pty=True) as process:
        said = b""
        while not said.endswith(b"\n"):
            said += process.terminal.read(100)
        assert said == b"ready\r\n"
        process.terminal.write(b"\x03")

        assert process.wait(PATIENCE) == -signal.SIGINT


def test_socket_and_program_share_the_network_of_the_node(a: Node) -> None:
    code = "import socket; print(socket.if_nameindex())"
    done = a.run([sys.executable, "-c", code])

    assert done.stdout.strip() == str(a.call(socket.if_nameindex))
