"""A command in a guest: it feels at home, changes nothing, and leaves nothing."""

import contextlib
import hashlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

PATIENCE = 60.0


def python(text):
    return (sys.executable, "-c", textwrap.dedent(text))


def children(pid):
    """The numbers of the processes that one has started, and that are not gone yet."""
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except FileNotFoundError:
        return []  # it has ended


def descendants(pid):
    """The pidfds of all processes below one; those of a guest come and go, as its processes do."""
    for child in children(pid):
        with contextlib.suppress(ProcessLookupError):
            yield os.pidfd_open(child)
        yield from descendants(child)


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("nonesuch", 127)]
)
def test_the_exit_status_is_the_command_s(guest, script, status):
    assert guest.run("sh", "-c", script).returncode == status


def test_a_program_that_does_not_exist_is_named(guest):
    done = guest.run("nonesuch")

    assert done.returncode == 127
    assert b"cannot run nonesuch: No such file" in done.stderr


def test_a_guest_has_none_of_its_own(guest):
    done = guest.run(*guest.arguments("true"))

    assert done.returncode == 125
    assert b"this is a guest already, and a guest has none of its own" in done.stderr
    assert b"mend it with: run the command as it is" in done.stderr


def test_the_streams_are_three(guest):
    data = os.urandom(300_000)

    done = guest.run("sh", "-c", "cat; echo aside >&2", input=data)

    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert done.stderr == b"aside\n"


@pytest.mark.parametrize("kind", ["real", "virtual"])
def test_a_reader_that_goes_away_ends_the_command_as_outside(guest, kind):
    with guest.start("yes", options=["--quiet", "--time", kind], stdout=-1, stderr=-1) as process:
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()

        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 128 + signal.SIGPIPE


def test_a_command_that_writes_what_nobody_reads_for_ever_is_ended(guest):
    with guest.start(*python("while True: print('on')"), stdout=-1, stderr=-1) as process:
        assert process.stdout.readline() == b"on\n"
        process.stdout.close()

        assert b"nobody reads standard output" in process.stderr.read()
        assert process.wait(PATIENCE) == 125


def test_output_for_which_there_is_no_room_is_told(guest):
    with open("/dev/full", "w") as full:
        done = guest.run("echo", "hello", stdout=full, stderr=subprocess.PIPE, capture_output=False)

    assert done.returncode == 125
    assert done.stderr == (
        b"patchbay guest: standard output cannot be written: No space left on device\n"
    )


def test_streams_may_be_closed(guest):
    script = ("sh", "-c", "cat; echo out; echo aside >&2")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", *guest.arguments(*script)],
        env=guest.environment(),
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"aside\n")


def test_a_file_as_input_is_a_file(guest, tmp_path):
    (tmp_path / "input").write_text("hello\n")

    with open(tmp_path / "input") as file:
        done = guest.run("sh", "-c", "cat; test -f /proc/self/fd/0", stdin=file)

    assert (done.stdout, done.returncode) == (b"hello\n", 0)


def test_a_file_that_is_too_large_as_input_is_told(guest, tmp_path):
    with open(tmp_path / "input", "w+") as file:
        file.truncate(100 << 20)
        done = guest.run("wc", "-c", options=["--memory", "128M"], stdin=file)

    assert done.returncode == 125
    assert b"memory: a file of 100M as standard input" in done.stderr


def test_input_that_nobody_reads_does_not_hold_up_a_signal(guest):
    with guest.start(
        "sh", "-c", "echo up; exec sleep 1000", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        os.set_blocking(process.stdin.fileno(), False)
        os.write(process.stdin.fileno(), bytes(60_000))
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_environment_directory_user_and_mask_are_the_caller_s(guest, tmp_path):
    here = """
        import os
        mask = os.umask(0)
        print([os.environ["WORD"], os.getcwd(), os.getuid(), os.getgid(), os.getgroups(), mask])
    """
    mask = os.umask(0)
    os.umask(mask)

    done = guest.run(*python(here), cwd=tmp_path, environment={"WORD": "a b\nç"})

    expected = ["a b\nç", str(tmp_path), os.getuid(), os.getgid(), os.getgroups(), mask]
    assert done.stdout.decode() == f"{expected}\n"


def test_the_host_s_files_are_read_and_never_written(guest, tmp_path):
    (tmp_path / "old").write_text("old")

    done = guest.run("sh", "-c", "cat old; echo new > old; rm -r .; touch /tmp/x", cwd=tmp_path)

    assert done.stdout == b"old"
    assert (tmp_path / "old").read_text() == "old"


def test_a_directory_that_is_named_is_written(guest, tmp_path):
    (tmp_path / "kept").mkdir()

    script = "echo 1 > kept/a; mkdir kept/b; mv kept/a kept/b/c; echo 2 > lost"
    done = guest.run("sh", "-c", script, cwd=tmp_path, options=["--write", str(tmp_path / "kept")])

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kept" / "b" / "c").read_text() == "1\n"
    assert not (tmp_path / "lost").exists()


def test_a_signal_reaches_the_command(guest):
    script = "trap 'echo got; exit 9' TERM; echo up; while :; do sleep 0.01; done"
    with guest.start("sh", "-c", script, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)

        assert process.stdout.readline() == b"got\n"
        assert process.wait(PATIENCE) == 9


SPIN = python("""
    import sys

    def spin():
        print("up", flush=True)  # in here, so that this is where a signal finds it from now on
        while True:
            pass

    spin()
""")


def test_a_command_that_never_waits_can_be_interrupted_in_virtual_time(guest):
    with guest.start(*SPIN, options=["--time", "virtual"], stdout=-1, stderr=-1) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode in (1, 128 + signal.SIGINT), said.decode()
    assert b"in spin" in said
    assert b"KeyboardInterrupt" in said


def test_a_program_that_never_waits_is_named_with_its_stack_in_virtual_time(guest):
    done = guest.run(
        *("sh", "-c", 'sleep 1000 & "$@"', "sh", *SPIN),
        options=["--time", "virtual", "--patience", "1"],
    )

    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (125, b"up\n"), said
    assert "computes and never waits" in said
    assert "in spin" in said
    assert "sleep 1000: sleeps" in said


def test_a_program_that_asks_again_and_again_is_named_too(guest):
    ask = python("""
        import os
        def ask():
            while not os.path.exists("/nonesuch"):
                pass
        ask()
    """)

    done = guest.run(
        *ask,
        options=["--time", "virtual", "--patience", "1"],
    )

    assert done.returncode == 125
    assert b"computes and never waits" in done.stderr
    assert b"in ask" in done.stderr


def test_patience_is_as_long_as_one_says(guest):
    compute = python("""
        import time
        begun = time.process_time_ns()
        sum(range(50_000_000))
        print("done")
    """)

    done = guest.run(*compute, options=["--time", "virtual", "--patience", "0"])

    assert (done.returncode, done.stdout) == (0, b"done\n")


@pytest.mark.parametrize("kind", ["virtual", "virtual-cpu"])
def test_where_nothing_is_left_to_wait_for_everyone_is_named(guest, kind):
    deadlock = python("""
        import os, subprocess, threading
        lock = threading.Lock()
        lock.acquire()
        threading.Thread(target=lock.acquire, daemon=True).start()
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        ours, theirs = os.pipe()
        os.read(ours, 1)
    """)

    done = guest.run(*deadlock, options=["--time", kind])

    said = done.stderr.decode()
    assert done.returncode == 125, said
    assert "nothing is left to wait for" in said
    assert "waits for a lock or another thread" in said
    assert "cat: reads pipe:" in said
    assert 'File "<string>", line 8 in <module>' in said


MOVED = """
    import os, select, sys
    moved = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if "poll" in sys.argv:
        select.select([moved], [], [])
    print(os.read(moved, 100).decode(), end="")
"""


@pytest.mark.parametrize(
    "command",
    [["head", "-n1"], python(MOVED), [*python(MOVED), "poll"]],
    ids=["plain", "moved", "moved-and-polled"],
)
def test_input_that_may_still_come_is_worth_waiting_for(guest, command):
    """Also where its descriptor has another number, as in the workers of pytest-xdist."""
    with guest.start(
        *command, options=["--time", "virtual"], stdin=-1, stdout=-1, stderr=-1
    ) as process:
        select.select([process.stderr], [], [], PATIENCE)
        time.sleep(1)  # days of virtual time
        said, _ = process.communicate(b"here\n", timeout=PATIENCE)

    assert (process.returncode, said) == (0, b"here\n")


def test_a_week_without_a_timer_of_its_own_is_no_deadlock(guest):
    """A child's timer is what its parent waits for."""
    done = guest.run("sh", "-c", "sleep 604800 | cat; date -u +%F", options=["--time", "virtual"])

    assert (done.returncode, done.stdout) == (0, b"2026-01-08\n")


PROGRAM = """
    import asyncio, os, random, socket, subprocess, sys, threading, time

    async def answer(reader, writer):
        while data := await reader.read(100):
            await asyncio.sleep(random.random())
            writer.write(data[::-1])
        writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(20):
            writer.write(os.urandom(10))
            print(number, (await reader.read(100)).hex(), time.time_ns())
        writer.close()

    asyncio.run(main())
    threads = [threading.Thread(target=lambda: print(time.time_ns(), os.getpid())) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for _ in range(5):
        subprocess.run([sys.executable, "-c", "import time; print(hash('x'), time.time_ns())"])
    print(id(object()), {"a", "b", "c"}, time.monotonic_ns())
"""
LAB = """
    import os, random
    from patchbay import Lab
    with Lab("small") as lab:
        dc = lab.add_router("dc", preset="public")
        home = lab.add_router("home", preset="home")
        server, laptop = lab.add_device("server", dc), lab.add_device("laptop", home)
        print(laptop.ip, home.uplink_ip, server.reflector("udp").observe(laptop))
        print(laptop.call(lambda: (os.getpid(), os.urandom(4).hex(), random.random())))
    print(os.urandom(4).hex(), {"a", "b", "c"})
"""


@pytest.mark.parametrize("script", [PROGRAM, LAB], ids=["program", "lab"])
def test_a_whole_run_repeats_to_the_byte(guest, script):
    def output():
        done = guest.run(*python(script), options=["--time", "virtual", "--seed", "11"])
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    first = output()
    assert [output() for _ in range(2)] == [first, first]


def test_nothing_is_left_when_it_is_killed(guest):
    with guest.start("sh", "-c", "sleep 1000 & echo up; sleep 1000", stdout=subprocess.PIPE) as one:
        one.stdout.readline()
        processes = list(descendants(one.pid))
        assert len(processes) >= 3

        one.kill()

        for each in processes:
            ended, _, _ = select.select([each], [], [], PATIENCE)
            assert ended
            os.close(each)


def test_a_terminal_is_a_terminal(guest):
    pid, terminal = pty.fork()
    if pid == 0:
        script = "trap 'echo interrupted; exit 7' INT; tty; while :; do sleep 0.01; done"
        os.execve(sys.executable, guest.arguments("sh", "-c", script), guest.environment())
    seen = b""
    while b"/dev/pts/" not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    while b"interrupted" not in seen:
        seen += os.read(terminal, 1000)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 7


def test_virtual_time_skips_every_wait(guest):
    script = """
        import time
        wall, since = time.time(), time.monotonic()
        time.sleep(7 * 24 * 3600)
        print(wall, time.monotonic() - since)
    """
    begun = time.monotonic()

    done = guest.run(*python(script), options=["--time", "virtual", "--start", "2030-05-01"])

    wall, slept = map(float, done.stdout.split())
    assert wall == pytest.approx(1_903_824_001, abs=0.5)
    assert slept == pytest.approx(7 * 24 * 3600, abs=0.001)
    assert time.monotonic() - begun < PATIENCE


def test_a_seed_repeats_a_run(guest):
    script = """
        import os, random, time
        time.sleep(random.random())
        print(os.urandom(8).hex(), random.random(), hash("text"), time.time_ns(), id(object()))
    """

    def output(seed):
        return guest.run(*python(script), options=["--time", "virtual", "--seed", seed]).stdout

    first = output("7")
    assert first
    assert first == output("7")
    assert first != output("8")


def test_the_seed_of_a_run_is_told(guest):
    random = ("od", "-An", "-N8", "-tx8", "/dev/urandom")

    done = guest.run(*random, options=["--time", "virtual"])
    *_, seed = done.stderr.split()
    again = guest.run(*random, options=["--time", "virtual", "--quiet", "--seed", seed.decode()])

    assert (again.stdout, again.stderr) == (done.stdout, b"")


def test_guests_run_side_by_side_each_on_one_processor(guest):
    with (
        guest.start("sh", "-c", "echo up; read end", stdin=-1, stdout=-1) as one,
        guest.start("sh", "-c", "echo up; read end", stdin=-1, stdout=-1) as two,
    ):
        processors = []
        for each in (one, two):
            each.stdout.readline()
            (kernel,) = children(each.pid)
            processors.append(os.sched_getaffinity(kernel))
        for each in (one, two):
            each.communicate(b"\n")

    assert [len(each) for each in processors] == [1, 1]


def test_a_guest_stays_on_the_processors_that_are_named(guest):
    named = min(os.sched_getaffinity(0))
    with guest.start("cat", options=["--cpus", str(named)], stdin=-1, stdout=-1) as one:
        one.stdin.write(b"up\n")
        one.stdin.flush()
        one.stdout.readline()
        (kernel,) = children(one.pid)
        processors = os.sched_getaffinity(kernel)
        one.communicate()

    assert processors == {named}


def test_artifacts_and_what_pytest_keeps_are_written_by_default(guest, tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_it.py").write_text(
        "def test_it(tmp_path):\n"
        "    open('artifacts/report', 'w').write(str(tmp_path))\n"
        "    (tmp_path / 'kept').touch()\n"
        "    open('lost', 'w').close()\n"
        "    assert False\n"
    )

    done = guest.run(
        *(sys.executable, "-m", "pytest", "-p", "no:patchbay", "-q"),
        cwd=tmp_path,
        environment={"TMPDIR": str(tmp_path)},
    )

    assert done.returncode == 1, done.stderr.decode()
    kept = Path((tmp_path / "artifacts" / "report").read_text()) / "kept"
    assert kept.exists()
    assert (tmp_path / ".pytest_cache" / "v" / "cache" / "lastfailed").exists()
    assert not (tmp_path / "lost").exists()


@pytest.mark.parametrize("kind", ["real", "virtual"])
def test_every_capability_of_a_lab_is_there(guest, kind):
    done = guest.run(
        *(sys.executable, "-m", "patchbay", "doctor", "--json"), options=["--time", kind]
    )

    report = json.loads(done.stdout)
    assert [each["name"] for each in report["capabilities"] if not each["works"]] == []


@pytest.mark.parametrize("kind", ["real", "virtual"])
def test_a_lab_works_unchanged(guest, kind):
    script = """
        from patchbay import Lab
        with Lab("small") as lab:
            home = lab.add_router("home", preset="home")
            server = lab.add_device("server", lab.add_router("dc", preset="public"))
            laptop = lab.add_device("laptop", home)
            print(laptop.ping(server).error, server.call(lambda: 6 * 7))
            assert server.reflector("udp").observe(laptop).ip == home.uplink_ip
    """

    done = guest.run(*python(script), options=["--time", kind])

    assert done.stdout == b"None 42\n", done.stderr.decode()


VECTORS = r"""
#include <signal.h>
#include <string.h>
#include <stdio.h>
#include <sys/time.h>

typedef long long wide __attribute__((vector_size(SIZE)));

static volatile sig_atomic_t signals;

static void clobber(int number)
{
    wide zero = { number };

    signals++;
    __asm__ volatile(MOVE " %0, %%" NAME "7\n" MOVE " %0, %%" NAME "15" : : "m"(zero));
}

int main(void)
{
    struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
    wide known, seen[2];
    long wrong = 0;

    memset(&known, 0xa5, sizeof(known));
    signal(SIGALRM, clobber);
    setitimer(ITIMER_REAL, &often, 0);
    while (signals < 200) {
        __asm__ volatile(MOVE " %2, %%" NAME "7\n" MOVE " %2, %%" NAME "15\n"
                         "mov $200000, %%rcx\n1: dec %%rcx\njnz 1b\n"
                         MOVE " %%" NAME "7, %0\n" MOVE " %%" NAME "15, %1"
                         : "=m"(seen[0]), "=m"(seen[1]) : "m"(known)
                         : "rcx", "xmm7", "xmm15");
        wrong += memcmp(&seen[0], &known, SIZE) || memcmp(&seen[1], &known, SIZE);
    }
    printf("%ld\n", wrong);
    return 0;
}
"""


@pytest.mark.parametrize(
    ("flag", "name", "size", "move"),
    [
        ("avx", "ymm", 32, "vmovdqu"),
        ("avx512f", "zmm", 64, "vmovdqu64"),
    ],
)
def test_a_signal_leaves_the_vector_registers_alone(guest, tmp_path, flag, name, size, move):
    if flag not in Path("/proc/cpuinfo").read_text().split() or shutil.which("gcc") is None:
        pytest.skip(f"this processor has no {flag}, or this host no gcc")
    (tmp_path / "vectors.c").write_text(VECTORS)
    compiled = subprocess.run(
        [
            *("gcc", f"-m{flag}", f"-DSIZE={size}", f'-DNAME="{name}"', f'-DMOVE="{move}"'),
            *("-O1", "-o", "vectors", "vectors.c"),
        ],
        cwd=tmp_path,
        capture_output=True,
    )
    assert compiled.returncode == 0, compiled.stderr.decode()

    assert guest.run("./vectors", cwd=tmp_path).stdout == b"0\n"
