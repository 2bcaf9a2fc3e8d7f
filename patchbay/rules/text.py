"""Tables as text, as `nft --stateless list ruleset` prints them and `nft -f` reads them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, IntFlag
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from patchbay.rules.fields import FLAG_FIELDS, LAYOUTS, SIZE, DataType, bounds, field_of, flags
from patchbay.rules.model import (
    Bits,
    Branch,
    Chain,
    Change,
    Condition,
    Counter,
    Dnat,
    Drawn,
    Flipped,
    Found,
    Goto,
    Jump,
    Log,
    Masked,
    Masquerade,
    Member,
    NatFlag,
    Number,
    Numbers,
    Part,
    PortOf,
    Range,
    Redirect,
    Reject,
    RejectWith,
    Rule,
    Set,
    SetMark,
    Snat,
    Statement,
    Table,
    Value,
)
from patchbay.rules.words import CtState, CtStatus, Field, Hook, L4Proto, Priority, TcpFlag, Verdict

_UNUSUAL = {L4Proto.ICMPV6: "ipv6-icmp"}
_FLAG_TYPES: dict[Field, type[CtState | CtStatus | TcpFlag]] = {
    Field.CT_STATE: CtState,
    Field.CT_STATUS: CtStatus,
    Field.TCP_FLAGS: TcpFlag,
}
_TYPES = {
    DataType.INET_PROTO: "inet_proto",
    DataType.IPV4_ADDR: "ipv4_addr",
    DataType.IPV6_ADDR: "ipv6_addr",
    DataType.INET_SERVICE: "inet_service",
    DataType.MARK: "mark",
}
"""The names of the types that sets are made of here."""
_NAT_FLAGS = {
    NatFlag.RANDOM: "random",
    NatFlag.FULLY_RANDOM: "fully-random",
    NatFlag.PERSISTENT: "persistent",
}
_NEAR = 10
"""How far from a standard priority nft still names it."""


def ruleset(tables: Iterable[Table]) -> str:
    """Tables as text, each ending in a newline; empty for none."""
    return "".join(map(_table, tables))


def _table(table: Table) -> str:
    parts = "\n".join([*map(_set, table.sets), *map(_chain, table.chains)])
    return f"table {table.family.value} {table.name} {{\n{parts}}}\n"


def _set(each: Set) -> str:
    kind, types = ("map", f"{_type(each.key)} : {_type(each.data)}") if each.data else ("set", "")
    lines = [f"type {types or _type(each.key)}", f"size {SIZE}", "flags dynamic"]
    if each.timeout is not None:
        lines[2:] = ["flags dynamic,timeout", f"timeout {_duration(each.timeout)}"]
    return _block(kind, each.name, lines)


def _type(parts: tuple[Part, ...]) -> str:
    return " . ".join(_TYPES[LAYOUTS[field_of(part)].type] for part in parts)


def _duration(seconds: int) -> str:
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def _chain(chain: Chain | Branch) -> str:
    lines = list(map(rule_text, chain.rules))
    if isinstance(chain, Chain):
        kind = f"type {chain.type.value} hook {chain.hook.value}"
        lines.insert(0, f"{kind} priority {_priority(chain)}; policy {chain.policy.value};")
    return _block("chain", chain.name, lines)


def _block(kind: str, name: str, lines: list[str]) -> str:
    body = "".join(f"\t\t{line}\n" for line in lines)
    return f"\t{kind} {name} {{\n{body}\t}}\n"


def _priority(chain: Chain) -> str:
    for priority in Priority:
        distance = chain.priority - priority
        if priority is Priority.DSTNAT and chain.hook is not Hook.PREROUTING:
            continue
        if priority is Priority.SRCNAT and chain.hook is not Hook.POSTROUTING:
            continue
        if abs(distance) <= _NEAR:
            name = priority.name.lower()
            return name if not distance else f"{name} {'-+'[distance > 0]} {abs(distance)}"
    return str(chain.priority)


def rule_text(rule: Rule) -> str:
    """One rule as text: `iifname "wan" ct state established,related accept`."""
    parts = [*map(_match, rule.matches), *map(_statement, rule.statements)]
    if rule.comment is not None:
        parts.append(f'comment "{rule.comment}"')
    return " ".join(parts)


def _match(match: Condition) -> str:
    if isinstance(match, Member):
        return f"{_joined(match.fields)} {'!= ' if match.negated else ''}@{match.set}"
    if isinstance(match, Bits):
        return _bits(match)
    if isinstance(match, Drawn):
        return f"numgen random mod {match.of} {match.value}"
    name = match.field.value
    if match.field in FLAG_FIELDS:
        bits = flags(match.field, match.values)
        names = [_name(flag) for flag in _FLAG_TYPES[match.field] if flag & bits]
        return f"{name} {'! ' if match.negated else ''}{','.join(names)}"
    values = sorted(match.values, key=lambda value: bounds(match.field, value))
    listed = ", ".join(_value_of(match.field, value) for value in values)
    sign = "!= " if match.negated else ""
    return f"{name} {sign}{{ {listed} }}" if len(values) > 1 else f"{name} {sign}{listed}"


def _bits(bits: Bits) -> str:
    """Bits from the highest on down are a prefix to nft."""
    field, mask = bits.part.field, bits.part.mask
    value = _number_of(field, bits.value)
    width = 8 * LAYOUTS[field].length
    ones = mask.bit_count()
    if mask == ((1 << ones) - 1) << width - ones:
        return f"{field.value} {value}/{ones}"
    return f"{_part(bits.part)} == {value}"


def _joined(parts: tuple[Part, ...]) -> str:
    return " . ".join(map(_part, parts))


def _part(part: Part) -> str:
    if isinstance(part, Masked):
        return f"{part.field.value} & {_number_of(part.field, part.mask)}"
    return part.value


def _number_of(field: Field, value: int) -> str:
    return f"0x{value:08x}" if _is_mark(field) else str(value)


def _found(found: Found) -> str:
    return f"{_joined(found.fields)} map @{found.map}"


def _value_of(field: Field, value: Value) -> str:
    return _number_of(field, value) if isinstance(value, int) and _is_mark(field) else _value(value)


def _is_mark(field: Field) -> bool:
    return LAYOUTS[field].type is DataType.MARK


def _value(value: Value | Field) -> str:
    match value:
        case Field():
            return value.value
        case IntEnum():
            return _name(value)
        case str():
            return f'"{value}"'
        case Range(first=first, last=last):
            return f"{first}-{last}"
        case IPv4Network() if value.prefixlen == value.max_prefixlen:
            return str(value.network_address)
        case IPv6Address():
            return _address6(value)
        case IPv6Network():
            return f"{_address6(value.network_address)}/{value.prefixlen}"
        case _:
            return str(value)


def _address6(address: IPv6Address) -> str:
    """An address as the C library prints it, and not every Python does."""
    return str(address) if address.ipv4_mapped is None else f"::ffff:{address.ipv4_mapped}"


def _name(value: IntEnum | IntFlag) -> str:
    if isinstance(value, L4Proto) and value in _UNUSUAL:
        return _UNUSUAL[value]
    return str(value.name).lower().replace("_", "-")


def _statement(statement: Statement) -> str:
    match statement:
        case Counter():
            return "counter"
        case Log(group=group):
            return f"log group {group}"
        case Verdict():
            return statement.value
        case Jump(chain=chain):
            return f"jump {chain}"
        case Goto(chain=chain):
            return f"goto {chain}"
        case SetMark(value=what):
            return f"ct mark set {_number(what)}"
        case Change():
            return _change(statement)
        case Reject(reason=RejectWith.ICMPX_PORT_UNREACHABLE):
            return "reject"
        case Reject(reason=reason):
            return f"reject with {reason.value}"
        case Snat() | Dnat():
            name = "snat" if isinstance(statement, Snat) else "dnat"
            if isinstance(statement.address, Found):
                return f"{name} ip to {_found(statement.address)}{_nat_flags(statement.flags)}"
            address = _value(statement.address)
            if isinstance(statement.address, IPv6Address) and statement.ports is not None:
                address = f"[{address}]"
            ports = "" if statement.ports is None else f":{_value(statement.ports)}"
            return f"{name} to {address}{ports}{_nat_flags(statement.flags)}"
        case Masquerade() | Redirect():
            name = "masquerade" if isinstance(statement, Masquerade) else "redirect"
            ports = "" if statement.ports is None else f" to :{_value(statement.ports)}"
            return f"{name}{ports}{_nat_flags(statement.flags)}"


def _number(number: Number) -> str:
    match number:
        case Found():
            return _found(number)
        case PortOf(field=field, above=above):
            return f"{field.value} & {0xFFFFFFFF} | {above}"
        case Numbers(first=first, count=count, random=random, shift=shift, above=above):
            text = f"numgen {'random' if random else 'inc'} mod {count}"
            text += f" offset {first}" if first else ""
            text += f" << {shift}" if shift else ""
            return f"{text} | {above}" if above else text
        case Flipped(bits=bits):
            return f"ct mark ^ 0x{bits:08x}"
        case int():
            return f"0x{number:08x}"


def _change(change: Change) -> str:
    key = _joined(change.key)
    data = f" : {_joined(change.data)}" if change.data else ""
    timeout = "" if change.timeout is None else f" timeout {_duration(change.timeout)}"
    company = "" if change.company is None else f" {change.company.value} {change.limit}"
    return f"{change.operation.value} @{change.set} {{ {key}{timeout}{company}{data} }}"


def _nat_flags(flags: NatFlag) -> str:
    names = [name for flag, name in _NAT_FLAGS.items() if flag & flags]
    return f" {','.join(names)}" if names else ""
