"""Guests under QEMU: how their kernel is unpacked and QEMU is called, on every kind of host.

QEMU is played here by a program in Python. The tests of a real guest start the real one, where
PATCHBAY_QEMU_KERNEL names a kernel for it.
"""

import io
import json
import lzma
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.errors import HostNotCapable
from patchbay.clock import in_guest
from patchbay.errors import ConfigError
from patchbay.guest import packages
from patchbay.guest.compiler import compiler_for
from patchbay.guest.host import ARCHITECTURES, Host, architecture_of, this_host
from patchbay.guest.launch import is_qemu
from patchbay.guest.modules import Module, index, load_order, read_module
from patchbay.guest.options import Guest
from patchbay.guest.qemu import adapted, check_fits, emulator_arguments, install_command
from patchbay.guest.request import Request
from patchbay.guest.stock import StockKernel, best_stock_kernel, fetch, stock_kernels
from patchbay.pytest_guest import guest_for

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120
X86, ARM = ARCHITECTURES

LINUX = Host("Linux", "x86_64", has_kvm=True)
WSL = Host("Linux", "x86_64", has_kvm=False)
ARM_LINUX = Host("Linux", "aarch64", has_kvm=True)
MAC = Host("Darwin", "arm64", has_kvm=False)
OLD_MAC = Host("Darwin", "x86_64", has_kvm=False)


def program(*entries):
    """A module whose `.modinfo` has these entries: an ELF file of three sections."""
    names = b"\0.modinfo\0.shstrtab\0"
    info = b"".join(entry.encode() + b"\0" for entry in entries)
    sections = [(0, 0, 0), (1, 64, len(info)), (10, 64 + len(info), len(names))]
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, at, size, 0, 0, 1, 0)
        for name, at, size in sections
    )
    at = 64 + len(info) + len(names)
    header = b"\x7fELF\x02\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, 3, 2
    )
    return header + info + names + table


def archive(files, kind):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{kind}") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def package(files, control="Package: linux-image\nVersion: 6.12.1-1\nArchitecture: arm64\n"):
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": archive({"control": control.encode()}, "gz"),
        "data.tar.xz": archive(files, "xz"),
    }
    data = b"!<arch>\n"
    for name, content in members.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n".encode()
        data += content + b"\n" * (len(content) % 2)
    return data


BELOW = "usr/lib/modules/6.12.1-arm64/kernel"
IMAGE = {
    "boot/vmlinuz-6.12.1-arm64": b"kernel",
    "boot/config-6.12.1-arm64": b"CONFIG_X=y",
    f"{BELOW}/fs/9p/9p.ko.xz": lzma.compress(program("alias=fs-9p", "depends=9pnet,netfs")),
    f"{BELOW}/net/9p/9pnet.ko.xz": lzma.compress(program("depends=")),
    f"{BELOW}/net/9p/9pnet_virtio.ko.xz": lzma.compress(program("depends=9pnet")),
    f"{BELOW}/fs/netfs/netfs.ko": program("depends="),
    f"{BELOW}/net/sched/sch_netem.ko": program("alias=net-sch-netem", "depends="),
    f"{BELOW}/drivers/gpu/big.ko.xz": b"never unpacked",
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PATCHBAY_QEMU_KERNEL", raising=False)
    return tmp_path / "cache" / "patchbay" / "qemu"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A compiler that notes how it is called."""
    directory = tmp_path / "bin"
    directory.mkdir()
    script = f"""\
        #!/bin/sh
        echo "$@" > {tmp_path}/compiled
        while [ "$1" != -o ]; do shift; done
        echo init > "$2"
        """
    for name in ("gcc", "zig"):
        (directory / name).write_text(textwrap.dedent(script))
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    return tmp_path / "compiled"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "linux-image.deb"
    path.write_bytes(package(IMAGE))
    return path


def kernel(architecture=X86, directory=Path("/k")):
    return StockKernel("6.12.1-1", architecture.name, "here", ("9p.ko",), directory)


def arguments(guest, accelerator, kernel=None, directory="/work"):
    return emulator_arguments(
        kernel or globals()["kernel"](),
        guest,
        accelerator,
        program="qemu",
        line=7,
        initial="/initial",
        directory=directory,
    )


def after(words, option):
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def test_a_module_says_what_it_needs_and_is_called():
    found = read_module(
        "nft-x",
        program("name=nft-x", "depends=nf-tables,b", "softdep=pre: c post: d", "alias=nft-expr-x"),
    )

    assert found == Module("nft_x", ("nf_tables", "b", "c"), ("nft_expr_x",))


def test_aliases_of_real_devices_are_left_out():
    found = read_module("x", program("alias=pci:v00001AF4*", "alias=virtio:d00000009v*"))

    assert found.aliases == ("virtio:d00000009v*",)


def test_what_is_no_module_is_refused():
    with pytest.raises(ValueError, match="no module"):
        read_module("x", b"\x7fELF\x01")


MODULES = {
    "a": Module("a", ("b", "built_in"), ("net_a", "with space")),
    "b": Module("b", ("c",), ()),
    "c": Module("c", ("b",), ()),
}


def test_modules_are_loaded_after_what_they_need_even_in_a_circle():
    assert load_order(MODULES, "a") == ("c", "b", "a")
    assert load_order(MODULES, "none") == ()


def test_the_index_has_a_line_for_each_name():
    lines = index(MODULES, {name: f"/m/{name}.ko" for name in MODULES}).splitlines()

    assert lines == [
        "a /m/c.ko /m/b.ko /m/a.ko",
        "net_a /m/c.ko /m/b.ko /m/a.ko",
        "b /m/c.ko /m/b.ko",
        "c /m/b.ko /m/c.ko",
    ]


def test_a_package_is_read_without_debian_s_programs():
    data = package({"etc/x": b"text"}, "Version: 1\nDescription: short\n long\n")

    assert packages.control(data) == {"Version": "1", "Description": "short"}
    assert dict(packages.files(data)) == {"etc/x": b"text"}


@pytest.mark.parametrize("data", [b"", b"no package", b"!<arch>\n"])
def test_what_is_no_package_is_refused(data):
    with pytest.raises(ValueError, match="it "):
        packages.control(data)


def test_a_kernel_is_unpacked_with_the_modules_of_labs(cache, compiler, image):
    said = []

    found = fetch(said.append, ARM_LINUX, str(image))

    assert (found.version, found.architecture) == ("6.12.1-1", "aarch64")
    assert found.origin == f"LINUX_IMAGE={image}"
    assert found.program.read_bytes() == b"kernel"
    assert found.init.read_text() == "init\n"
    assert sorted(each.stem for each in found.modules.glob("*.ko")) == [
        *("9p", "9pnet", "9pnet_virtio", "netfs", "sch_netem")
    ]
    assert "net_sch_netem /modules/sch_netem.ko\n" in (found.modules / "index").read_text()
    assert found.boot == ("9pnet.ko", "9pnet_virtio.ko", "netfs.ko", "9p.ko")
    assert stock_kernels() == (found,)
    assert best_stock_kernel(ARM_LINUX) == best_stock_kernel(LINUX) == found
    assert [each.name for each in cache.iterdir()] == [found.directory.name]
    assert any("unpacking linux-image.deb" in line for line in said)


@pytest.mark.parametrize(
    ("host", "compiled"),
    [
        (ARM_LINUX, "-static -O2 -s -o"),
        (LINUX, "cc -target aarch64-linux-musl -static"),
        (MAC, "cc -target aarch64-linux-musl -static"),
    ],
)
def test_the_first_process_is_compiled_for_the_guest(cache, compiler, image, host, compiled):
    fetch(lambda _: None, host, str(image))

    assert compiler.read_text().startswith(compiled)


def test_a_host_without_a_compiler_is_told_which_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert compiler_for(ARM, MAC) == []


def test_a_kernel_for_this_processor_goes_before_a_later_one(cache, compiler, image, tmp_path):
    other = tmp_path / "amd64.deb"
    other.write_bytes(package(IMAGE, "Version: 6.1-1\nArchitecture: amd64\n"))
    fetch(lambda _: None, LINUX, str(other))
    fetch(lambda _: None, LINUX, str(image))

    assert best_stock_kernel(LINUX).architecture == "x86_64"
    assert best_stock_kernel(MAC).architecture == "aarch64"


def test_a_kernel_that_is_named_is_the_only_one(cache, compiler, image, tmp_path, monkeypatch):
    found = fetch(lambda _: None, ARM_LINUX, str(image))
    moved = found.directory.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("PATCHBAY_QEMU_KERNEL", str(moved))

    assert [each.directory for each in stock_kernels()] == [moved]
    (moved / "kernel.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(HostNotCapable, match="PATCHBAY_QEMU_KERNEL names"):
        stock_kernels()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no package", "it is no Debian package"),
        (package({"etc/x": b""}), "it holds no kernel"),
        (package(IMAGE, "Architecture: riscv64\n"), "it holds no kernel for x86-64 or arm64"),
        (package({**IMAGE, f"{BELOW}/net/x.ko.zst": b""}), "x.ko.zst is of no use"),
    ],
)
def test_a_package_that_is_of_no_use_is_refused_whole(cache, compiler, image, content, why):
    image.write_bytes(content)

    with pytest.raises(HostNotCapable, match=why) as caught:
        fetch(lambda _: None, ARM_LINUX, str(image))

    assert "LINUX_IMAGE=FILE.deb" in caught.value.remedy
    assert list(cache.iterdir()) == []


def test_a_host_without_apt_is_told_what_to_download(cache, monkeypatch):
    monkeypatch.setattr("patchbay.guest.stock.is_debian", lambda: False)

    with pytest.raises(HostNotCapable, match="does not have Debian's packages") as caught:
        fetch(lambda _: None, MAC)
    with pytest.raises(HostNotCapable, match="patchbay kernel fetch"):
        best_stock_kernel(MAC)

    assert "LINUX_IMAGE=FILE.deb patchbay kernel fetch" in caught.value.remedy


def test_apt_is_asked_for_the_kernel_of_this_processor(cache, compiler, image, monkeypatch):
    script = f"""\
        #!/bin/sh
        echo "$0 $@" >> {compiler.parent}/asked
        case "$*" in
            *indextargets*) echo "Packages Debian http://mirror/debian" ;;
            *depends*) echo "  Depends: linux-image-6.12.1-arm64" ;;
            *download*) /bin/cp {image} linux-image-6.12.1-arm64_6.12.1-1_arm64.deb ;;
        esac
        """
    for name in ("apt-get", "apt-cache"):
        path = compiler.parent / "bin" / name
        path.write_text(textwrap.dedent(script))
        path.chmod(0o755)
    monkeypatch.setattr("patchbay.guest.stock.is_debian", lambda: True)

    found = fetch(lambda _: None, ARM_LINUX)

    assert found.origin == "linux-image-6.12.1-arm64, from http://mirror/debian trixie"
    assert "APT::Architecture=arm64" in (compiler.parent / "asked").read_text()


@pytest.mark.parametrize(
    ("host", "asked", "architecture", "accelerators"),
    [
        (LINUX, Guest(), X86, ("kvm", "tcg")),
        (LINUX, Guest(time="virtual-cpu"), X86, ("tcg",)),
        (LINUX, Guest(), ARM, ("tcg",)),
        (LINUX, Guest(accelerator="kvm"), X86, ("kvm",)),
        (WSL, Guest(), X86, ("tcg",)),
        (ARM_LINUX, Guest(), ARM, ("kvm", "tcg")),
        (MAC, Guest(), ARM, ("hvf", "tcg")),
        (MAC, Guest(), X86, ("tcg",)),
        (MAC, Guest(time="virtual-cpu"), ARM, ("tcg",)),
        (OLD_MAC, Guest(), X86, ("hvf", "tcg")),
    ],
)
def test_each_host_has_its_accelerators(host, asked, architecture, accelerators):
    assert host.accelerators(asked, architecture) == accelerators


@pytest.mark.parametrize(
    ("host", "asked", "expected"),
    [
        (LINUX, Guest(), False),
        (WSL, Guest(), False),
        (LINUX, Guest(machine="qemu"), True),
        (LINUX, Guest(accelerator="tcg"), True),
        (LINUX, Guest(root=Path("/")), True),
        (ARM_LINUX, Guest(), True),
        (MAC, Guest(), True),
    ],
)
def test_a_guest_is_user_mode_linux_where_that_exists(host, asked, expected):
    assert is_qemu(asked, host) is expected


def test_user_mode_linux_elsewhere_is_refused():
    with pytest.raises(ConfigError, match="take qemu"):
        is_qemu(Guest(machine="uml"), MAC)
    with pytest.raises(HostNotCapable, match="no guest for riscv64"):
        is_qemu(Guest(), Host("Linux", "riscv64", has_kvm=True))


def test_architectures_have_several_names():
    assert architecture_of("ARM64") is architecture_of("aarch64") is ARM
    assert architecture_of("AMD64") is architecture_of("x86_64") is X86
    assert architecture_of("mips") is None


def test_all_mistakes_of_a_guest_under_qemu_are_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Guest(machine="uml", accelerator="fast", root=tmp_path / "none")
    assert [each.place for each in caught.value.problems] == ["accelerator", "root", "machine"]

    with pytest.raises(ConfigError, match="virtual-cpu"):
        check_fits(Guest(time="virtual", machine="qemu"))
    with pytest.raises(ConfigError, match="time is real with kvm"):
        check_fits(Guest(time="virtual-cpu", accelerator="kvm"))
    with pytest.raises(ConfigError, match="nothing in real time"):
        check_fits(Guest(seed=3, machine="qemu"))
    with pytest.raises(ConfigError, match="64M are less than the 128M"):
        check_fits(Guest(memory=64 << 20, machine="qemu"))


def test_a_mac_runs_its_own_processor():
    words = arguments(Guest(root=ROOT), "hvf", kernel(ARM))

    assert after(words, "-accel") == ["hvf"]
    assert after(words, "-cpu") == ["host"]
    assert after(words, "-M") == ["virt"]
    assert "console=ttyAMA0" in after(words, "-append")[0]
    assert after(words, "-initrd") == ["/initial"]
    assert "socket,id=line,fd=7" in words


def test_a_pc_has_its_console_elsewhere():
    words = arguments(Guest(memory=64 << 20), "kvm")

    assert after(words, "-M")[0].startswith("q35")
    assert after(words, "-m") == ["64M"]
    assert "console=ttyS0" in after(words, "-append")[0]
    assert not {"-icount", "-rtc", "-seed"} & set(words)


def test_virtual_time_is_of_an_emulated_processor():
    start = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

    words = arguments(Guest(time="virtual-cpu", seed=2**33 + 5, start=start), "tcg")

    assert after(words, "-icount") == ["shift=0,sleep=off"]
    assert after(words, "-rtc") == ["base=2030-01-02T03:04:05,clock=vm"]
    assert after(words, "-seed") == ["5"]
    assert after(words, "-cpu") == ["max"]
    assert "patchbay.time=virtual-cpu norandmaps" in after(words, "-append")[0]


def test_virtual_time_begins_in_utc():
    start = datetime.fromisoformat("2030-01-01T01:00:00+01:00")

    words = arguments(Guest(time="virtual-cpu", start=start), "tcg")

    assert after(words, "-rtc") == ["base=2030-01-01T00:00:00,clock=vm"]


def test_only_what_is_named_is_shared_to_be_written(tmp_path):
    (tmp_path / "a,b").mkdir()

    shared = after(arguments(Guest(writable=(tmp_path / "a,b",)), "tcg"), "-fsdev")

    assert [each.endswith("readonly=on") for each in shared] == [True, True, False]
    assert f"path={tmp_path}/a,,b," in shared[2]
    assert "id=root,path=/," in shared[1]


def test_another_root_leaves_the_directory_that_the_command_runs_in(tmp_path):
    shared = after(arguments(Guest(root=tmp_path), "tcg", directory="/work"), "-fsdev")

    assert [word.split(",")[1] for word in shared] == ["id=modules", "id=show0", "id=root"]
    assert "path=/work," in shared[1]
    assert f"path={tmp_path}," in shared[2]


def test_a_disk_is_left_as_it_is(tmp_path):
    (tmp_path / "disk.qcow2").touch()
    guest = Guest(root=tmp_path / "disk.qcow2")

    assert after(arguments(guest, "tcg"), "-drive") == [
        f"file={tmp_path}/disk.qcow2,if=virtio,snapshot=on"
    ]
    assert adapted(REQUEST, kernel(), guest).disk == "/dev/vda1"


REQUEST = Request(
    command=("true",),
    environment={"PATH": "/opt/bin", "A": "b"},
    directory="/work",
    writable=("/w",),
    user=1,
    group=2,
    groups=(),
    mask=0,
    files=9,
    hostname="h",
    terminals=(),
    virtual_time=False,
    input="",
)


def test_the_first_process_is_told_where_its_files_are(tmp_path):
    asked = adapted(REQUEST, kernel(), Guest(root=tmp_path))

    assert asked.encode().split(b"\0") == [
        *(b"atrue", b"ePATH=/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        *(b"eA=b", b"w/w", b"o/work", b"M/9p.ko", b"d/work", b"u1", b"g2", b"m0", b"n9", b"hh"),
        *(b"t", b"l/dev/vport0p1", b"s9p", b""),
    ]
    assert adapted(REQUEST, kernel(), Guest(machine="qemu")).shown == ()


@pytest.mark.parametrize(
    ("manager", "root", "command"),
    [
        ("apt-get", False, "sudo apt-get install qemu-system-arm"),
        ("apk", True, "apk add qemu-system-aarch64"),
        ("brew", False, "brew install qemu"),
        ("", True, "install QEMU with this system's package manager"),
    ],
)
def test_qemu_is_installed_by_a_command(monkeypatch, manager, root, command):
    monkeypatch.setattr(shutil, "which", lambda name: name if name == manager else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)

    assert install_command("aarch64") == command


PLAYED = '''\
#!{python}
"""Plays QEMU: says what it is called with, and what its guest would."""
import os, pathlib, re, socket, struct, sys

words = sys.argv[1:]
pathlib.Path({note!r}).open("a").write(" ".join(words) + "\\n")
accelerator = words[words.index("-accel") + 1]
if accelerator in {refused!r}:
    sys.exit("no " + accelerator)
line = socket.socket(fileno=int(re.search("id=line,fd=([0-9]+)", " ".join(words))[1]))
initial = pathlib.Path(words[words.index("-initrd") + 1]).read_bytes()
assert initial.startswith(b"070701") and b"TRAILER!!!" in initial

def send(kind, data):
    line.sendall(struct.pack("<cI", kind, len(data)) + data)

send(b"C", struct.pack("<I", 2048))
{then}
line.recv(1)  # nothing, ever: it is killed, or the other end is closed
'''


@pytest.fixture
def played(tmp_path, cache, compiler, image, monkeypatch):
    """A kernel for arm64, and a QEMU that is played: called with what follows its first word."""
    fetch(lambda _: None, ARM_LINUX, str(image))

    def play(then, refused=()):
        path = tmp_path / "bin" / "qemu-system-aarch64"
        path.write_text(
            PLAYED.format(
                python=sys.executable, note=str(tmp_path / "words"), refused=refused, then=then
            )
        )
        path.chmod(0o755)
        return tmp_path / "words"

    return play


ON = """
import platform, sys, os, select, signal, socket
host = sys.argv.pop(1)
if host == "Darwin":  # what macOS has not
    sys.platform = "darwin"
    for module, names in {
        os: ["memfd_create", "sched_getaffinity", "sched_setaffinity", "pidfd_open", "setns"],
        select: ["epoll"],
        socket: ["AF_NETLINK", "AF_PACKET"],
        signal: ["pidfd_send_signal", "sigtimedwait"],
    }.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
platform.system = lambda: host
platform.machine = lambda: "arm64" if host == "Darwin" else "aarch64"
from patchbay.cli import main
sys.exit(main(sys.argv[1:]))
"""


def on(host, *words):
    return subprocess.run(
        [sys.executable, "-c", ON, host, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("host", ["Linux", "Darwin"])
def test_streams_and_exit_status_come_from_the_guest(played, host):
    note = played('send(b"O", b"out\\n"); send(b"X", b"err\\n"); send(b"D", bytes([0, 3, 0, 0]))')

    done = on(host, "guest", "--accelerator", "tcg", "--", "command")

    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    assert "-accel tcg" in note.read_text()


def test_what_does_not_start_in_a_virtual_machine_is_emulated(played):
    note = played('send(b"D", bytes(4))', refused=("hvf",))

    assert on("Darwin", "guest", "--", "true").returncode == 0

    assert [after(line.split(), "-accel") for line in note.read_text().splitlines()] == [
        *(["hvf"], ["tcg"])
    ]


def test_what_qemu_says_when_it_fails_is_told(played):
    played("", refused=("hvf",))

    done = on("Darwin", "guest", "--accelerator", "hvf", "--", "true")

    assert done.returncode == 125
    assert "no hvf" in done.stderr


def test_a_machine_without_qemu_is_told_how_to_install_it(played, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # this machine may well have it

    done = on("Darwin", "guest", "--", "true")

    assert done.returncode == 125
    assert "qemu-system-aarch64 is not installed" in done.stderr


def test_the_kernel_for_qemu_is_told_and_checked(played, cache):
    played('send(b"D", bytes(4))', refused=("hvf",))

    told, checked, path = (on("Darwin", "kernel", word) for word in ("show", "check", "path"))

    assert "Linux 6.12.1-1 for QEMU, aarch64\n" in told.stdout
    assert checked.stdout.startswith("Linux 6.12.1-1 started, ran a program and ended in ")
    assert path.stdout == f"{cache}/6.12.1-1-aarch64\n"


def test_the_kernel_for_qemu_is_named_where_another_goes_before_it(played, cache):
    named = on("Linux", "kernel", "path", "--machine", "qemu")
    other = on("Darwin", "kernel", "path", "--machine", "uml")

    assert named.stdout == f"{cache}/6.12.1-1-aarch64\n"
    assert other.returncode == 1
    assert "User-mode Linux runs on Linux on x86-64 alone" in other.stderr


def test_no_qemu_is_left_when_its_parent_is_killed(played):
    played('send(b"O", b"%d\\n" % os.getpid())')
    process = subprocess.Popen(
        [sys.executable, "-c", ON, "Linux", "guest", "--accelerator", "tcg", "--", "sleep"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        emulator = os.pidfd_open(int(process.stdout.readline()))
        try:
            process.send_signal(signal.SIGKILL)
            assert select.select([emulator], [], [], PATIENCE)[0] == [emulator]
        finally:
            os.close(emulator)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--machine", "qemu"], True),
        (["--machine=qemu"], True),
        (["--root=/usr"], True),
        (["--accelerator", "tcg"], True),
        (["--accelerator=auto", "--memory", "4G", "--write=/tmp"], False),
        (["--machine", "uml"], False),
    ],
)
def test_a_session_looks_for_the_kernel_of_its_guest(options, wanted):
    assert guest_for("real", options).needs_qemu == wanted


def can_run():
    """Whether QEMU is here, and a kernel for it."""
    try:
        return shutil.which(best_stock_kernel(this_host()).kind.emulator) is not None
    except HostNotCapable:
        return False


def real(test):
    """Mark a test that starts the real QEMU."""
    lacks = pytest.mark.skipif(
        not can_run(), reason="needs QEMU, and a kernel for it: patchbay kernel fetch"
    )
    nested = pytest.mark.skipif(
        in_guest(), reason="this is a guest already, and QEMU in it takes minutes to start"
    )
    return nested(lacks(test))


def guest(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "patchbay", "guest", "--machine", "qemu", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        **more,
    )


@real
def test_a_real_guest_is_at_home(tmp_path):
    (tmp_path / "kept").mkdir()
    script = "cat; pwd; echo $WORD; echo no > lost; echo 1 > kept/a; id -u; echo err >&2; exit 7"

    done = guest(
        *("--write", str(tmp_path / "kept"), "--", "env", "WORD=a b", "sh", "-c", script),
        cwd=tmp_path,
        input="in\n",
    )

    assert done.stdout == f"in\n{tmp_path}\na b\n{os.getuid()}\n"
    assert (done.stderr, done.returncode) == ("err\n", 7)
    assert (tmp_path / "kept" / "a").read_text() == "1\n"
    assert not (tmp_path / "lost").exists()


@real
def test_the_real_kernel_starts_when_it_is_checked():
    done = subprocess.run(
        [sys.executable, "-m", "patchbay", "kernel", "check", "--machine", "qemu"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert " started, ran a program and ended in " in done.stdout, done.stderr


@real
def test_a_real_guest_skips_waits():
    script = "import time; a = time.time(); time.sleep(86400); print(time.time() - a)"

    done = guest("--time", "virtual-cpu", "--", sys.executable, "-c", script)

    assert 86400 <= float(done.stdout) < 86460
