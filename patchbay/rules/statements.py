"""What a rule does when its matches hold, as expressions: pure, from values to bytes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from ipaddress import IPv4Address

from patchbay.rules.expressions import (
    FIRST,
    SECOND,
    expression,
    immediate,
    load,
    load_found,
    load_joined,
    load_number,
    load_port,
    verdict,
)
from patchbay.rules.fields import LAYOUTS, bounds
from patchbay.rules.model import (
    Change,
    Company,
    Counter,
    Dnat,
    Found,
    Goto,
    Jump,
    Log,
    Masquerade,
    NatFlag,
    Operation,
    Range,
    Redirect,
    Reject,
    RejectWith,
    SetMark,
    Snat,
    Statement,
)
from patchbay.rules.words import Field, NfProto, Verdict
from patchbay.wiring.netlink import attribute, be32, nested, text, u8

_VERDICTS = {Verdict.DROP: 0, Verdict.ACCEPT: 1, Verdict.RETURN: -5}
_JUMP, _GOTO = -3, -4
_REJECTS = {
    RejectWith.ICMP_HOST_UNREACHABLE: (0, 1),
    RejectWith.TCP_RESET: (1, 0),
    RejectWith.ICMPX_NO_ROUTE: (2, 0),
    RejectWith.ICMPX_PORT_UNREACHABLE: (2, 1),
    RejectWith.ICMPX_HOST_UNREACHABLE: (2, 2),
    RejectWith.ICMPX_ADMIN_PROHIBITED: (2, 3),
}
_OPERATIONS = {Operation.ADD: 0, Operation.UPDATE: 1, Operation.DELETE: 2}
_COMPANY = {Company.ALONE: 0, Company.OTHERS: 1}
_SOURCE, _DESTINATION = 0, 1
_PORT, _LAST_PORT = FIRST + 4, FIRST + 8


def encoded(statement: Statement) -> Iterator[bytes]:
    """The expressions that carry a statement out, in order."""
    match statement:
        case Counter():
            yield expression("counter")
        case Log(group=group):
            yield expression("log", attribute(1, group.to_bytes(2, "big")))
        case Verdict():
            yield verdict(_VERDICTS[statement])
        case Jump(chain=chain):
            yield verdict(_JUMP, chain)
        case Goto(chain=chain):
            yield verdict(_GOTO, chain)
        case Reject(reason=reason):
            kind, code = _REJECTS[reason]
            yield expression("reject", be32(1, kind), *([] if kind == 1 else [u8(2, code)]))
        case SetMark(value=what):
            if isinstance(what, Found):
                yield from load_found(what, FIRST, SECOND)
            else:
                yield from load_number(what)
            place = LAYOUTS[Field.CT_MARK].place
            yield expression("ct", be32(2, place), be32(4, FIRST))
        case Change():
            yield from _change(statement)
        case Snat():
            yield from _translation(_SOURCE, statement)
        case Dnat():
            yield from _translation(_DESTINATION, statement)
        case Masquerade():
            ports = yield from _ports(statement.ports, 2)
            yield expression("masq", *_nat_flags(statement.flags, 1), *ports)
        case Redirect():
            ports = yield from _ports(statement.ports, 1)
            yield expression("redir", *ports, *_nat_flags(statement.flags, 3))


def _change(change: Change) -> Iterator[bytes]:
    parts = [text(1, change.set), be32(3, _OPERATIONS[change.operation]), be32(4, FIRST)]
    yield from load_joined(change.key)
    if change.data:
        yield from load_joined(change.data, SECOND)
        parts.append(be32(5, SECOND))
    if change.timeout is not None:
        parts.append(attribute(6, (1000 * change.timeout).to_bytes(8, "big")))
    if change.company is not None:
        limit = be32(1, change.limit) + be32(2, _COMPANY[change.company])
        parts.append(nested(7, text(1, "connlimit"), nested(2, limit)))
    yield expression("dynset", *parts)


def _translation(what: int, to: Snat | Dnat) -> Iterator[bytes]:
    if isinstance(to.address, Found):
        yield from load_found(to.address, FIRST, SECOND)
        parts = [be32(1, what), be32(2, NfProto.IPV4), be32(3, FIRST), be32(5, FIRST + 1)]
        yield expression("nat", *parts, *_nat_flags(to.flags, 7))
        return
    if isinstance(to.address, Field):
        family = NfProto.IPV4
        yield load(to.address, FIRST)
    else:
        family = NfProto.IPV4 if isinstance(to.address, IPv4Address) else NfProto.IPV6
        yield immediate(FIRST, to.address.packed)
    parts = [be32(1, what), be32(2, family), be32(3, FIRST)]
    ports = yield from _ports(to.ports, 5)
    yield expression("nat", *parts, *ports, *_nat_flags(to.flags, 7))


def _ports(
    ports: int | Range | Field | None, first_attribute: int
) -> Generator[bytes, None, list[bytes]]:
    """Load the ports to translate to; gives the attributes that name their registers."""
    if ports is None:
        return []
    if isinstance(ports, Field):
        yield from load_port(ports, _PORT)
        return [be32(first_attribute, _PORT)]
    first, last = bounds(Field.TH_DPORT, ports)
    yield immediate(_PORT, first)
    if first == last:
        return [be32(first_attribute, _PORT)]
    yield immediate(_LAST_PORT, last)
    return [be32(first_attribute, _PORT), be32(first_attribute + 1, _LAST_PORT)]


def _nat_flags(flags: NatFlag, kind: int) -> list[bytes]:
    return [be32(kind, flags)] if flags else []
