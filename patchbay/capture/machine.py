"""Runs filters on packets that the kernel does not see as any interface's: those of links.

It is the kernel's machine (Documentation/networking/filter.rst), as far as our programs use it.
"""

from __future__ import annotations

from patchbay.capture import bpf
from patchbay.capture.bpf import Instruction

_ETHERNET, _ETHERTYPE = 14, slice(12, 14)
_WHOLE = 1 << 32
_SIZES = {bpf.LD_W: 4, bpf.LD_H: 2, bpf.LD_B: 1, bpf.LD_H_IND: 2, bpf.LD_B_IND: 1}
_INDIRECT = (bpf.LD_H_IND, bpf.LD_B_IND)


def kept(program: tuple[Instruction, ...], data: memoryview, length: int, *, outbound: bool) -> int:
    """How many bytes of a packet a filter keeps; 0 for a packet that it does not let through.

    Args:
        program: the filter.
        data: the packet, from its Ethernet header on.
        length: bytes that it has.
        outbound: whether it goes out.
    """
    a = x = at = 0
    memory = [0] * 16
    while True:
        code, true, false, constant = program[at]
        at += 1
        size = _SIZES.get(code)
        if size is not None:
            if constant == bpf.ETHERTYPE:
                a = int.from_bytes(data[_ETHERTYPE], "big")
            elif constant == bpf.PACKET_TYPE:
                a = bpf.OUTGOING if outbound else 0
            else:
                offset = (constant + (x if code in _INDIRECT else 0)) % _WHOLE - bpf.NETWORK
                begin = offset + _ETHERNET
                if offset < 0 or begin + size > len(data):
                    return 0  # beyond the packet
                a = int.from_bytes(data[begin : begin + size], "big")
        elif code == bpf.JEQ:
            at += true if a == constant else false
        elif code == bpf.JGT:
            at += true if a > constant else false
        elif code == bpf.JGE:
            at += true if a >= constant else false
        elif code == bpf.JSET:
            at += true if a & constant else false
        elif code == bpf.JA:
            at += constant
        elif code == bpf.RET:
            return constant
        elif code == bpf.LD_LEN:
            a = length
        elif code == bpf.LD_IMM:
            a = constant
        elif code == bpf.LD_MEM:
            a = memory[constant]
        elif code == bpf.LDX_IMM:
            x = constant
        elif code == bpf.LDX_MEM:
            x = memory[constant]
        elif code == bpf.ST:
            memory[constant] = a
        elif code == bpf.STX:
            memory[constant] = x
        elif code == bpf.TAX:
            x = a
        elif code == bpf.ADD_K:
            a = (a + constant) % _WHOLE
        elif code == bpf.ADD_X:
            a = (a + x) % _WHOLE
        elif code == bpf.AND_K:
            a &= constant
        else:
            assert code == bpf.LSH_K, "the compiler uses no others"
            a = (a << constant) % _WHOLE
