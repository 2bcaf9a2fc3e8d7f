"""Hosts that forbid a part of what a guest needs: gone around, or named with what mends it."""

import subprocess
import sys
import textwrap

import pytest

PATIENCE = 120

FORBIDDEN = """
    import ctypes, os, struct, sys
    numbers = [int(each) for each in sys.argv[1].split(",")]
    code = [(0x20, 0, 0, 0)]  # the number of the system call
    code += [(0x15, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050001)]  # allowed, or EPERM
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
    program = struct.pack("@HP", len(code), ctypes.addressof(text))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program) == 0  # PR_SET_SECCOMP
    os.execv(sys.argv[2], sys.argv[2:])
"""
PTRACE, SECCOMP = 101, 317

MOUNTED = """
    import os, sys
    from pathlib import Path
    from actors import linux
    user, group = os.getuid(), os.getgid()
    linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    for each in sys.argv[1].split():
        directory, options = each.split(":")
        linux.mount("tmpfs", directory, "tmpfs", linux.MS_NOEXEC if "noexec" in options else 0,
                    ",".join(word for word in options.split(",") if word != "noexec"))
    os.environ.pop("XDG_RUNTIME_DIR", None)
    os.execv(sys.argv[2], sys.argv[2:])
"""


def run(guest, script, argument, *command):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), argument, *command],
        env=guest.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


CHECK = (sys.executable, "-m", "patchbay", "kernel", "check")


@pytest.mark.parametrize("forbidden", [PTRACE, SECCOMP])
def test_either_ptrace_or_seccomp_is_enough(guest, forbidden):
    done = run(guest, FORBIDDEN, str(forbidden), *CHECK)

    assert done.returncode == 0, done.stderr


def test_a_host_without_ptrace_and_seccomp_is_told(guest):
    done = run(guest, FORBIDDEN, f"{PTRACE},{SECCOMP}", *CHECK)

    assert done.returncode == 1
    assert "this host does not let a guest kernel run: ptrace" in done.stderr
    assert "allow ptrace, or seccomp" in done.stderr


@pytest.mark.parametrize("shared", ["noexec", "size=1m"])
def test_memory_that_allows_no_programs_or_is_small_is_gone_around(
    guest, shared, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    done = run(
        guest, MOUNTED, f"/dev/shm:{shared} {tmp_path}:noexec", *guest.arguments("echo", "here")
    )

    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


def test_a_host_without_any_room_is_told_each_reason(guest):
    done = run(
        guest,
        MOUNTED,
        "/dev/shm:size=1m",
        *guest.arguments("true", options=["--memory", "999G"]),
    )

    assert done.returncode == 125
    assert "/dev/shm has only 1M free" in done.stderr
    assert "--shm-size" in done.stderr


PIECES = """
    import mmap, os
    count = 70_000  # a host allows a process 65,530 maps, if nobody has changed that
    memory = mmap.mmap(-1, 2 * 4096 * count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    places = [2 * 4096 * (each * 40_503 % count) for each in range(count)]
    for each in places:
        memory[each : each + 8] = each.to_bytes(8, "little")
    def is_whole():
        return all(memory[each : each + 8] == each.to_bytes(8, "little") for each in places)
    print(is_whole(), flush=True)
    if os.fork() == 0:
        os._exit(17 if is_whole() else 0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), is_whole())
"""


@pytest.mark.parametrize("forbidden", [PTRACE, SECCOMP])
def test_memory_may_be_in_more_pieces_than_a_host_maps(guest, forbidden):
    command = guest.arguments(sys.executable, "-c", textwrap.dedent(PIECES))

    done = run(guest, FORBIDDEN, str(forbidden), *command)

    assert (done.returncode, done.stdout) == (0, "True\n17 True\n"), done.stderr
