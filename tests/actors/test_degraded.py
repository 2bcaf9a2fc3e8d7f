"""Labs on hosts that refuse something: they work without it, say so, and still leave nothing.

Such a host is made of namespaces: a user namespace whose limits forbid more of a kind, a mount
namespace whose /proc has something mounted over it.
"""

import resource

import pytest

from tests.actors.clients import Client, kill, run, wait_until

HOST = """
from actors import linux

def write(path, text):
    with open(path, "w") as file:
        file.write(text)

def become(flags):
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER | flags)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{inside} {user} 1")
    write("/proc/self/gid_map", f"{inside} {group} 1")

def fork_into_pid_namespace():
    linux.unshare(linux.CLONE_NEWPID)
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    linux.mount("proc", "/proc", "proc")

def hide_other_views_of_processes():
    # where one is left that shows everything, as of a chroot, a lab may mount its own too
    with open("/proc/self/mountinfo") as lines:
        mounts = [line.split() for line in lines]
    for mount in mounts:
        place, kind = mount[4], mount[mount.index("-") + 1]
        if kind == "proc" and place != "/proc" and not place.startswith("/proc/"):
            linux.mount("hidden", place, "tmpfs")

inside = 0
"""

NO_PIDNS = "become(0); write('/proc/sys/user/max_pid_namespaces', '0')\n"

NO_UTSNS = "become(0); write('/proc/sys/user/max_uts_namespaces', '0')\n"

NO_IPCNS = "become(0); write('/proc/sys/user/max_ipc_namespaces', '0')\n"

ROOT_WITHOUT_USERNS = "become(0); write('/proc/sys/user/max_user_namespaces', '0')\n"

MASKED_PROC = """
become(linux.CLONE_NEWNS); fork_into_pid_namespace(); hide_other_views_of_processes()
linux.mount("masked", "/proc/driver", "tmpfs")
"""

READ_ONLY_SYSCTLS = """
become(linux.CLONE_NEWNS); fork_into_pid_namespace(); hide_other_views_of_processes()
linux.mount("/proc/sys", "/proc/sys", flags=linux.MS_BIND)
linux.mount("", "/proc/sys", flags=linux.MS_BIND | 32 | linux.MS_RDONLY)
"""

NO_TUN = """
become(linux.CLONE_NEWNS)
if os.path.exists("/dev/net"):
    linux.mount("hidden", "/dev/net", "tmpfs")
"""

HOSTS = {
    "pidns": (NO_PIDNS, ["pidns", "proc"]),
    "utsns": (NO_UTSNS, ["utsns"]),
    "ipcns": (NO_IPCNS, ["ipcns"]),
    "userns": (ROOT_WITHOUT_USERNS, ["userns"]),
    "proc": (MASKED_PROC, ["proc"]),
    "sysctl": (READ_ONLY_SYSCTLS, ["proc"]),
    "tun": (NO_TUN, []),
}

every_host = pytest.mark.parametrize("host", HOSTS)

WORK = """
connection = lab()
print(connection.lacks)
connection.request("add", names=["a", "b"])
a = Node(connection, "a")
print(a.call(os.listdir, "/sys/class/net"), a.run(["echo", "hi"]).stdout.strip())
try:
    a.call(os._exit, 4)
except PatchbayError as error:
    print(error)
a.restart()
print(a.call(lambda: "again"))
a.popen(["sh", "-c", "trap '' TERM; setsid sleep 1000 & exit 0"]).wait()
b = Node(connection, "b")
b.popen(["sh", "-c", "setsid sleep 1000 & exit 0"]).wait()
connection.request("remove", names=["b"])
"""


@every_host
def test_a_lab_works_without_what_the_host_refuses(host):
    """Closing kills even a daemon that ignores being asked to end."""
    prepare, lacks = HOSTS[host]

    status, lines, errors = run(HOST + prepare + WORK + "connection.close(); print('closed')")

    assert (status, errors) == (0, "")
    assert lines == [
        str(lacks),
        "['lo'] hi",
        "node 'a' died: its process exited with status 4",
        "again",
        "closed",
    ]


@pytest.mark.parametrize("host", ["pidns", "proc"])
def test_threads_are_found_where_proc_shows_others_numbers(host):
    code = """
def keep_the_interpreter():
    ctypes.PyDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)

import ctypes
connection = lab()
connection.request("add", names=["a"])
a = Node(connection, "a")
a.submit(keep_the_interpreter)
while " in keep_" not in (stack := a.stack()) or "Waiting for the interpreter" not in stack:
    pass
print([line.rpartition(" in ")[2] for line in stack.splitlines()][1], "[MainThread]" in stack)
a.restart()
print(repr(a.stack()))
connection.close()
"""
    assert run(HOST + HOSTS[host][0] + code) == (0, ["keep_the_interpreter True", "''"], "")


@every_host
def test_removing_a_node_kills_what_is_in_its_network_there_too(host):
    code = WORK + "print('removed', flush=True); time.sleep(1000)"
    with Client(HOST + HOSTS[host][0] + code) as client:
        while client.process.stdout.readline() != "removed\n":
            assert client.process.poll() is None, client.process.stderr.read()

        assert wait_until(lambda: len(client.named("sleep")) == 1), "that of the other node lives"


@every_host
@pytest.mark.parametrize("who", ["python", "pb-launcher", "pb-supervisor"])
def test_a_kill_leaves_nothing_there_either(host, who):
    code = (
        WORK
        + """
print("up", flush=True)
try:
    a.call(time.sleep, 1000)
except PatchbayError as error:
    connection.close()
"""
    )
    with Client(HOST + HOSTS[host][0] + code) as client:
        while (line := client.process.stdout.readline()) != "up\n":
            assert line, client.process.stderr.read()
        for pid, name in client.processes().items():
            if name.startswith(who):
                kill(pid)
        assert wait_until(lambda: client.process.poll() is not None)

        assert client.left() is True


REFUSED = {
    "user": "write('/proc/sys/user/max_user_namespaces', '0')",
    "net": "write('/proc/sys/user/max_net_namespaces', '0')",
    "mnt": "write('/proc/sys/user/max_mnt_namespaces', '0')",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_host_that_refuses_what_no_lab_can_do_without_is_named_with_the_remedy(kind):
    code = f"""
inside = {1000 if kind == "user" else 0}
become(0)
{REFUSED[kind]}
from actors.errors import HostNotCapable
for _ in range(2):
    try:
        lab()
    except HostNotCapable as error:
        print(str(error).replace(chr(10), " / "))
"""
    status, lines, errors = run(HOST + code)

    assert (status, errors) == (0, "")
    assert len(lines) == 2, "the launcher lives on"
    assert "No space left on device" in lines[0]
    assert f"sudo sysctl -w user.max_{kind}_namespaces=15000" in lines[0]
    assert "patchbay doctor" in lines[0]


MANY = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
connection = lab()
connection.request("add", names=[f"n{{n}}" for n in range(60)])
try:
    for n in range(60):
        node = Node(connection, f"n{{n}}")
        node.call(os.getpid); node.submit(os.getpid).result(); node.socket().close()
    print("all", resource.getrlimit(resource.RLIMIT_NOFILE))
except PatchbayError as error:
    print(str(error))
connection.close()
"""


def test_a_client_with_a_low_soft_limit_of_open_files_reaches_every_node():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    assert run(MANY.format(soft=260, hard=hard)) == (0, [f"all ({hard}, {hard})"], "")


def test_a_client_that_may_not_open_enough_files_is_told_so():
    status, (line,), errors = run(MANY.format(soft=200, hard=1000).replace(
        "connection = lab()", "connection = lab(); resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))"
    ))  # fmt: skip

    assert (status, errors) == (0, "")
    assert "cannot be reached: this process has about" in line
    assert "may open 200" in line
