"""The parts of the guest that need no kernel: what is asked, what is said, what is built."""

import os
import platform
import select
import shutil
import stat
import struct
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace as Namespace

import pytest

from actors.errors import HostNotCapable
from patchbay.cli import main
from patchbay.errors import ConfigError
from patchbay.guest.build import build
from patchbay.guest.cache import best_kernel, cache_directory, kernels
from patchbay.guest.channel import DONE, MOST_CONTENT, OUTPUT, Frames, frame
from patchbay.guest.debian import best_version
from patchbay.guest.errors import BuildFailed
from patchbay.guest.initramfs import initramfs
from patchbay.guest.machine import memory_directory, own_processor
from patchbay.guest.options import Guest, parse_cpus, parse_memory, parse_start
from patchbay.guest.recipe import features, recipe
from patchbay.guest.request import Request
from patchbay.guest.symbols import function_at
from patchbay.guest.tools import NEEDED, install_command
from patchbay.guest.usual import is_pytest, usual_directories
from patchbay.guest.waits import Place, explain, parse
from tests.guest.conftest import ROOT
from tests.waiting import PATIENCE, wait_until


def test_all_mistakes_of_a_guest_are_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Guest(
            time="slow",
            seed=-1,
            memory=1,
            start=datetime(1960, 1, 1, tzinfo=UTC),
            writable=(tmp_path / "none", Path("/")),
        )

    assert [each.place for each in caught.value.problems] == [
        *("time", "seed", "start", "memory", "write", "write")
    ]


def test_virtual_time_starts_when_a_clock_can_be_set():
    end = datetime(2232, 1, 1, tzinfo=UTC)

    Guest(time="virtual", start=end - timedelta(seconds=1))
    with pytest.raises(ConfigError, match=r"start: 2232.* is after 2231"):
        Guest(time="virtual", start=end)


def test_real_time_starts_when_it_is():
    with pytest.raises(ConfigError, match="only virtual time starts when one says"):
        Guest(start=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512 << 20), ("2G", 2 << 30), ("64k", 65536), ("123", 123)]
)
def test_memory_is_written_with_a_unit(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1M", "1.5G", "1T", "²M"])
def test_what_is_no_memory_is_refused(text):
    with pytest.raises(ValueError, match="512M"):
        parse_memory(text)


def test_processors_are_written_as_a_list():
    assert parse_cpus("0,2-4") == {0, 2, 3, 4}


@pytest.mark.parametrize("text", ["", "a", "1-", "3-2", "1,,2", "-1"])
def test_what_is_no_list_of_processors_is_refused(text):
    with pytest.raises(ValueError, match="0,2-3"):
        parse_cpus(text)


def test_a_processor_that_this_process_may_not_use_is_refused():
    with pytest.raises(ConfigError, match=r"cpus.*100001"):
        Guest(cpus=frozenset({100_001}))


@pytest.mark.parametrize(
    ("command", "it_is"),
    [
        ("pytest -x", True),
        ("/v/bin/pytest", True),
        ("python3.13 -m pytest tests", True),
        ("python -m patchbay", False),
        ("make pytest", False),
        ("", False),
    ],
)
def test_pytest_is_known_by_its_command(command, it_is):
    assert is_pytest(command.split()) == it_is


def test_a_user_without_a_name_has_directories_as_pytest_names_them(tmp_path, monkeypatch):
    def nobody():
        raise KeyError("uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(tmp_path))
    (tmp_path / "pytest.ini").touch()

    assert usual_directories(["pytest"], tmp_path) == (
        *(tmp_path / ".pytest_cache", tmp_path / "pytest-of-unknown"),
    )


def test_directories_that_cannot_be_made_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(tmp_path / "none"))
    (tmp_path / "pytest.ini").touch()
    (tmp_path / ".pytest_cache").touch()

    assert usual_directories(["pytest"], tmp_path) == ()


def test_a_directory_that_is_gone_is_told(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert main(["guest", "--", "true"]) == 125
    assert capsys.readouterr().err == (
        "patchbay guest: the current directory does not exist any more\n"
    )


WAITING = (
    "7\t7\tS\t0 0x3 0x1 0x1 0x0 0x0 0x0\tpipe_read\tpipe:[61]\tpython3\tpython3 a.py\n"
    "7\t9\tS\t202 0x7f 0x0\tfutex_wait_queue\t\tworker\tpython3 a.py\n"
    "8\t8\tR\trunning\t0\t\tspin\t./spin --fast\n"
    "10\t10\tT\t61 0xb\tdo_wait\t/dev/null\tsh\tsh -c x\n"
    "12\t12\tS\t61 0xb\tdo_wait\t/dev/null\tsh\tsh -c x\n"
    "13\t13\tS\t9999 0x0\tsomewhere\t\tn\tn"
)


def test_what_everyone_waits_for_is_said_in_words():
    reason, lines = explain(parse(f"0\n{WAITING}\n14\t14\tcut".encode()), str)

    assert "nothing is left to wait for" in reason
    assert lines == (
        "7  python3 a.py: reads pipe:[61]",
        "7  thread 9 (worker): waits for a lock or another thread",
        "8  ./spin --fast: computes",
        "10  sh -c x: is stopped",
        "12  sh -c x: waits for a child",
        "13  n: is in system call 9999 (somewhere)",
    )


def test_who_never_waits_is_named_first():
    report = parse(f"8\n@1f\t./spin\n@20\t\n{WAITING}".encode())

    reason, lines = explain(report, lambda place: "main" if place == Place("./spin", 31) else "")

    assert reason.startswith("./spin --fast (8) computes and never waits")
    assert lines[:3] == (
        "  in main (./spin+0x1f)",
        "  in code of no file+0x20",
        "7  python3 a.py: reads pipe:[61]",
    )
    assert len(lines) == 7


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_a_place_in_a_program_has_the_name_of_its_function(tmp_path):
    (tmp_path / "a.c").write_text("int other(int a) { return a; } int main(void) { return 7; }")
    subprocess.run(["gcc", "-O0", "-o", "a", "a.c"], cwd=tmp_path, check=True)
    program = (tmp_path / "a").read_bytes()
    seven = program.index(b"\xb8\x07\x00\x00\x00")  # mov $7, %eax

    assert function_at(str(tmp_path / "a"), seven) == "main"
    assert function_at(str(tmp_path / "a"), len(program)) == ""
    assert function_at(str(tmp_path / "a.c"), 0) == ""
    assert function_at(str(tmp_path / "none"), 0) == ""


def test_a_start_without_a_zone_is_utc():
    assert parse_start("2030-05-01") == datetime(2030, 5, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="2026-01-01T00:00:00Z"):
        parse_start("tomorrow")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_frames_are_found_however_their_bytes_are_divided(size):
    sent = [(OUTPUT, b""), (OUTPUT, bytes(range(256))), (DONE, struct.pack("<I", 9))]
    data = b"".join(frame(kind, content) for kind, content in sent)
    frames = Frames()

    received = [
        each for at in range(0, len(data), size) for each in frames.feed(data[at : at + size])
    ]

    assert received == sent


def test_a_frame_from_the_host_is_written_in_one_piece():
    assert len(frame(OUTPUT, bytes(MOST_CONTENT))) <= 4096  # PIPE_BUF


def test_a_request_is_a_list_of_texts():
    request = Request(
        command=("a", "b c"),
        environment={"X": "1\n2"},
        directory="/d",
        writable=("/w",),
        user=1,
        group=2,
        groups=(3, 4),
        mask=0o22,
        files=1024,
        hostname="h",
        terminals=(0, 2),
        virtual_time=True,
        input="/input",
    )

    assert request.encode().split(b"\0") == [
        *(b"aa", b"ab c", b"eX=1\n2", b"w/w", b"G3", b"G4", b"d/d", b"u1", b"g2", b"m22"),
        *(b"n1024", b"hh", b"t02", b"v", b"i/input", b""),
    ]


def test_the_initial_file_system_is_one_that_cpio_describes():
    archive = initramfs(b"#!", {"request": b"12345"})
    at, found = 0, {}
    while at < len(archive):
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        at += (110 + fields[11] + 3) // 4 * 4
        found[name] = (fields[1], archive[at : at + fields[6]])
        at += (fields[6] + 3) // 4 * 4

    assert found == {
        "dev": (stat.S_IFDIR | 0o755, b""),
        "init": (stat.S_IFREG | 0o755, b"#!"),
        "modprobe": (stat.S_IFLNK | 0o777, b"init"),
        "request": (stat.S_IFREG | 0o600, b"12345"),
        "TRAILER!!!": (0, b""),
    }


def test_the_memory_goes_where_there_is_room():
    assert memory_directory(1 << 20).is_dir()
    with pytest.raises(HostNotCapable, match=r"fits nowhere.*free"):
        memory_directory(1 << 60)


def test_a_processor_belongs_to_one_guest_while_there_are_others(monkeypatch):
    # No machine has these, so that no guest has claimed them; nor has another run of this test.
    processors = {100_000_000 + 2 * os.getpid(), 100_000_001 + 2 * os.getpid()}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: processors)

    with own_processor() as first:
        with own_processor() as second, own_processor() as third:
            assert {first, second} == processors
            assert third in processors
        with own_processor() as again:
            assert again == second
    with own_processor() as again:
        assert again == first


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["linux-source-6.12", "linux-source-7.3", "linux-source-7.2"], "7.2"),
        (["linux-source-7.10", "linux-source-7.9", "linux-source-6.12"], "7.9"),
        (["linux-source-6.12", "linux-source"], None),
    ],
)
def test_the_source_is_the_version_that_is_tested_or_the_next(offered, chosen):
    assert best_version(offered) == chosen


def test_the_recipe_has_every_feature_and_the_seed():
    assert {"virtual time", "netem", "nftables", "WireGuard"} <= set(features(recipe().fragment))
    assert "UML_SEED" in recipe().patches["seed.patch"]


def test_missing_tools_are_named_with_the_command_that_installs_them():
    programs = ["gcc", "flex", "xz"]

    assert install_command(programs, "apt", root=False) == (
        "sudo apt-get install gcc libc6-dev flex xz-utils"
    )
    assert install_command(programs, "dnf", root=True) == "dnf install gcc glibc-static flex xz"
    assert "flex" in install_command(programs, "", root=True)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PATCHBAY_KERNEL", raising=False)
    monkeypatch.setattr("patchbay.guest.cache.PACKAGE", "patchbay_kernel_of_a_test")
    return tmp_path / "cache" / "patchbay" / "kernel"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH of programs that pretend to build; `make` writes what it is called with to a file."""
    directory = tmp_path / "programs"
    directory.mkdir()
    scripts = dict.fromkeys(NEEDED, 'echo "$0 1.0"')
    scripts["nice"] = 'shift 2; exec "$@"'
    scripts["make"] = f"""
        echo "$@" >> {tmp_path}/made
        objects=${{2#O=}}
        case $3 in
            allnoconfig) : > $objects/.config ;;
            linux) test ! -e {tmp_path}/broken || exit 2; echo kernel > $objects/linux ;;
        esac
    """
    scripts["strip"] = 'cp "$3" "$2"'
    scripts["gcc"] = """
        while [ $# -gt 1 ]; do [ "$1" != -o ] || echo init > "$2"; shift; done
        echo "gcc 1.0"
    """
    scripts["cp"] = 'exec /bin/cp "$@"'
    for name, script in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Namespace(free=1 << 40))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return tmp_path


@pytest.fixture
def source(tmp_path):
    """What looks like a source of Linux."""
    directory = tmp_path / "linux"
    merge = directory / "scripts" / "kconfig" / "merge_config.sh"
    merge.parent.mkdir(parents=True)
    merge.write_text('#!/bin/sh\nwhile read -r line; do echo "$line"; done < "$5" > "$3/.config"\n')
    merge.chmod(0o755)
    (directory / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 13\n")
    for name in ("COPYING", "LICENSES/preferred/GPL-2.0", "LICENSES/exceptions/Linux-syscall-note"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"text of {name}\n")
    return directory


def test_a_kernel_is_built_once(cache, programs, source):
    said = []

    kernel = build(said.append, str(source))

    assert kernel.version == "7.2.13"
    assert kernel.origin == f"LINUX_SOURCE={source}"
    assert kernel.program.read_text() == "kernel\n"
    assert "netem" in kernel.features
    assert any("compiling Linux 7.2.13" in line for line in said)
    assert [each.name for each in cache.iterdir() if each.is_dir()] == [kernel.directory.name]
    made = (programs / "made").read_text()
    assert build(said.append) == build(said.append, str(source)) == best_kernel() == kernel
    assert (programs / "made").read_text() == made


def test_an_interrupted_build_goes_on_where_it_was(cache, programs, source):
    (programs / "broken").touch()
    with pytest.raises(BuildFailed, match="compiling failed") as caught:
        build(lambda _: None, str(source))
    assert "make ARCH=um" in Path(caught.value.log).read_text()
    (programs / "broken").unlink()
    said = []

    build(said.append, str(source))

    assert not any("unpacking" in line for line in said)


def test_a_kernel_for_another_recipe_is_not_run(cache, programs, source, monkeypatch):
    kernel = build(lambda _: None, str(source))
    described = (kernel.directory / "kernel.json").read_text()
    (kernel.directory / "kernel.json").write_text(described.replace(kernel.key, "00000000"))

    assert [each.current for each in kernels()] == [False]
    with pytest.raises(HostNotCapable, match="patchbay kernel build"):
        best_kernel()


def test_a_kernel_that_is_named_is_the_only_one(cache, programs, source, monkeypatch):
    named = build(lambda _: None, str(source)).directory
    named = named.rename(programs / "elsewhere")
    monkeypatch.setenv("PATCHBAY_KERNEL", str(named))

    assert [each.directory for each in kernels()] == [named]
    assert best_kernel().program.read_text() == "kernel\n"
    assert build(lambda _: None).directory == named
    (named / "kernel.json").unlink()
    with pytest.raises(HostNotCapable, match=r"(?s)PATCHBAY_KERNEL names .*kernel path"):
        best_kernel()


def test_a_kernel_that_is_installed_is_found(cache, programs, source, monkeypatch):
    built = build(lambda _: None, str(source)).directory
    package = programs / "site" / "patchbay_kernel_of_a_test"
    package.mkdir(parents=True)
    built.rename(package / "kernel")
    monkeypatch.syspath_prepend(programs / "site")

    assert best_kernel().directory == package / "kernel"


def test_a_machine_without_a_source_says_why(cache, programs, monkeypatch):
    (programs / "programs" / "apt-get").write_text("#!/bin/sh\necho no network; exit 100\n")
    (programs / "programs" / "apt-get").chmod(0o755)
    monkeypatch.setattr("patchbay.guest.source.is_debian", lambda: True)

    with pytest.raises(HostNotCapable, match=r"supplies no kernel source.*no network") as caught:
        build(lambda _: None)

    assert "LINUX_SOURCE=" in caught.value.remedy


def test_a_kernel_gets_the_first_process_that_this_version_needs(cache, programs, source):
    kernel = build(lambda _: None, str(source))
    kernel.init.rename(kernel.directory / "init-00000000")
    made = (programs / "made").read_text()

    assert build(lambda _: None).init.exists()

    assert [each.name for each in kernel.directory.glob("init*")] == [kernel.init.name]
    assert (programs / "made").read_text() == made


def test_what_is_missing_is_told_before_anything_is_done(cache, programs, source):
    (programs / "programs" / "flex").unlink()
    (programs / "programs" / "bison").unlink()

    with pytest.raises(HostNotCapable, match="needs flex, bison"):
        build(lambda _: None, str(source))

    assert not (programs / "made").exists()


def test_what_is_no_source_is_refused(cache, programs, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(HostNotCapable, match="does not exist"):
        build(lambda _: None, str(tmp_path / "nowhere.tar.xz"))
    with pytest.raises(BuildFailed, match=f"{tmp_path}/empty is no source of Linux"):
        build(lambda _: None, str(tmp_path / "empty"))


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    for action, directory in (("build", "kernel"), ("fetch", "qemu")):
        assert main(["kernel", action]) == 1
        assert (
            f"the cache {tmp_path}/file/patchbay/{directory} cannot be written: Not a directory"
        ) in capsys.readouterr().err


def test_who_has_no_home_has_a_cache_at_the_root(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)

    assert cache_directory() == Path("/.cache/patchbay/kernel")


def test_a_program_of_a_build_ends_with_it(tmp_path):
    waiting = "echo $$ > number; mv number program; exec sleep 1000"
    script = f"""
        from pathlib import Path
        from patchbay.guest.steps import Steps

        Steps(Path("log").absolute(), print).run("waiting", ["sh", "-c", {waiting!r}])
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as builder:
        wait_until((tmp_path / "program").exists)
        with open(os.pidfd_open(int((tmp_path / "program").read_text())), "rb") as program:
            builder.kill()
            ended, _, _ = select.select([program], [], [], PATIENCE)

    assert ended


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_the_first_process_compiles_without_a_warning(tmp_path):
    for name, text in recipe().init.items():
        (tmp_path / name).write_text(text)

    done = subprocess.run(
        ["gcc", "-fsyntax-only", "-Wall", "-Wextra", "-O2", "-Werror", "init.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
