"""The settings of nodes are settings that a fresh namespace of this kernel has."""

import subprocess
import sys

import pytest

from patchbay.topology import sysctls
from patchbay.topology.model import Interface, Router
from patchbay.values import Nat

PROGRAM = """
import ctypes, os, sys
uid, gid = os.getuid(), os.getgid()
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000 | 0x40000000):
    sys.exit(77)
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
def path(key):
    return "/proc/sys/net/" + key.replace(".", "/")
write("/proc/self/setgroups", "deny")
write("/proc/self/uid_map", f"0 {uid} 1")
write("/proc/self/gid_map", f"0 {gid} 1")
wanted = [line.rstrip().split("=") for line in sys.stdin]
# A kernel without br_netfilter has nothing to switch off.
wanted = [each for each in wanted if each[0][:7] != "bridge." or os.path.exists(path(each[0]))]
for key, value in wanted:
    write(path(key), value)
for key, value in wanted:
    with open(path(key)) as file:
        got = file.read().split()
    assert got == value.split(), (key, value, got)
"""
UPLINK = Interface(name="wan", cable=1, lan="ix", mac="02:00:00:00:00:01")
ROUTER = Router(name="r", uplink=UPLINK, nat=Nat.HOME)


@pytest.mark.parametrize(
    "wanted",
    [
        sysctls.host(dad=False),
        sysctls.host(dad=True),
        sysctls.forwarder(dad=False),
        sysctls.router(ROUTER, dad=True),
    ],
)
def test_a_fresh_namespace_takes_them_and_none_undoes_another(wanted):
    lines = "".join(f"{key}={value}\n" for key, value in wanted)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=lines, text=True, capture_output=True, check=False
    )

    if done.returncode == 77:
        pytest.skip("this host gives no namespaces")
    assert done.returncode == 0, done.stderr


def test_what_nat_states_goes_back_to_what_the_kernel_has():
    assert sysctls.default("netfilter.nf_conntrack_udp_timeout_stream") == "120"
