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
