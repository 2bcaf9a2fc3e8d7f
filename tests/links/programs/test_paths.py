"""What becomes of packets that a program has decided about, on the way that is left to them."""

from collections import deque

import pytest
from frames import HEAP, MS, flush, ip_packet, is_right
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.links.packets.gate import PASSES
from patchbay.links.packets.pipeline import Pipeline
from patchbay.links.programs.running import ProgramRun
from patchbay.links.spec import LinkSpec
from patchbay.values import DropList, FlowMatch, LinkCondition, PacketProgram
from tests.links.programs.crafted import quic


class AtOnce:
    """Asks the program where it stands."""

    held = ()

    def __init__(self, program, name, seed, admit):
        self.run = ProgramRun(program.function(), name, seed, 0)
        self.admit = admit
        self.closed = False

    def offer(self, now, frame):
        self.admit(now, frame, self.run.decide(now, bytes(frame.data)))

    def close(self):
        self.closed = True


class Slowly(AtOnce):
    """Answers when it is told to."""

    def __init__(self, *how):
        super().__init__(*how)
        self.waiting = deque()

    def offer(self, now, frame):
        self.waiting.append((now, frame))

    @property
    def held(self):
        return [frame for _, frame in self.waiting]

    def answer(self, count):
        for _ in range(min(count, len(self.waiting))):
            self.admit(*self.waiting.popleft(), PASSES)


def pipeline(condition, flows=(), *, gates=None, kind=AtOnce, seed=1):
    def start(*how):
        gate = kind(*how)
        if gates is not None:
            gates.append(gate)
        return gate

    return Pipeline(LinkSpec("laptop/eth0/up", seed, condition, tuple(flows)), HEAP, start)


def arrivals(program, payloads, *, seed=1, gap=MS, **options):
    """Payloads as they arrive, with the milliseconds at which they do."""
    made = pipeline(LinkCondition(program=program, **options), seed=seed)
    for place, payload in enumerate(payloads):
        made.offer(place * gap, ip_packet(payload=payload))
    left = flush(made)
    assert all(is_right(frame) for _, frame in left)
    return [(at / MS, bytes(frame.data)[42:]) for at, frame in left], made


def payloads_of(found):
    return [payload for _, payload in found[0]]


def test_lose_the_second_quic_initial():
    seen = []

    def lose_second_initial(packet):
        if "initial" in packet.quic_types:
            seen.append(packet.number)
            if len(seen) == 2:
                packet.drop()

    sent = [
        b"no quic",
        quic("initial", payload=b"first"),
        quic("handshake"),
        quic("handshake") + quic("initial", payload=b"second"),
        quic("initial", payload=b"third"),
    ]
    found = arrivals(lose_second_initial, sent)

    assert payloads_of(found) == [*sent[:3], sent[4]]
    assert found[1].counters.lost == {"program": 1}
    assert seen == [], "a program counts in a copy of what it refers to"


def test_everything_that_can_become_of_a_packet():
    def program(packet):
        match packet.payload:
            case b"drop":
                packet.drop()
            case b"late":
                packet.delay(2.5)
            case b"twice":
                packet.duplicate()
            case b"change":
                packet.change(payload=b"changed, and longer", ttl=3)
            case b"inject":
                other = packet.copy()
                other.change(payload=b"another")
                packet.inject(other)

    sent = [b"drop", b"late", b"twice", b"change", b"inject", b"pass"]
    found, made = arrivals(program, sent, latency_ms=10)

    assert found == [
        (12, b"twice"),
        (12, b"twice"),
        (13, b"changed, and longer"),
        (13.5, b"late"),
        (14, b"inject"),
        (14, b"another"),
        (15, b"pass"),
    ]
    assert made.counters.lost == {"program": 1}


def test_a_program_is_told_numbers_times_and_its_link():
    told = {}

    class Teller:
        def __call__(self, packet):
            text = f"{packet.number} {packet.flow_number} {packet.time_ms:g} {packet.link}"
            packet.change(payload=text.encode())

    made = pipeline(LinkCondition(program=Teller()))
    for at, ports in ((0, (1, 9)), (3, (2, 9)), (7, (1, 9))):
        made.offer(at * MS, ip_packet(ports=ports))
    told = [bytes(frame.data)[42:].decode() for _, frame in flush(made)]

    assert told == [
        "1 1 0 laptop/eth0/up",
        "2 1 3 laptop/eth0/up",
        "3 2 7 laptop/eth0/up",
    ]


def lose_some(packet):
    if packet.random.random() < 0.5:
        packet.drop()


def test_the_same_seed_makes_the_same_choices():
    sent = [b"%d" % each for each in range(100)]
    first, again, other = (payloads_of(arrivals(lose_some, sent, seed=seed)) for seed in (1, 1, 2))

    assert first == again != other
    assert 20 < len(first) < 80


def test_a_list_comes_first_and_chance_last():
    def count(packet):
        packet.change(payload=b"%d" % packet.number)

    drops = DropList([1, 3])
    found, made = arrivals(count, [b"x"] * 300, drops=drops, loss_pct=50)

    assert [int(payload) for _, payload in found] == sorted({int(p) for _, p in found})
    assert made.counters.lost["list"] == 2
    assert 80 < made.counters.lost["loss"] < 220
    assert max(int(payload) for _, payload in found) <= 298


def test_what_is_decided_late_keeps_its_time_and_the_rate():
    """As if the answer had been there at once."""
    gates = []
    condition = LinkCondition(rate_kbit=8 * 142, program=lose_some)
    made = pipeline(condition, gates=gates, kind=Slowly)
    for at in (0, 1, 2):
        made.offer(at * MS, ip_packet(payload=bytes(100)))  # 142 bytes: 1 ms
    assert made.next_deadline() is None
    assert not made.empty
    assert made.queued == (3, 3 * 142)
    gates[0].answer(1)
    assert [frame.due for frame in made.due(90 * MS)] == [1 * MS]
    gates[0].answer(2)
    assert [frame.due for frame in made.due(90 * MS)] == [2 * MS, 3 * MS]

    burst = pipeline(condition, gates=gates, kind=Slowly)
    for _ in range(3):
        burst.offer(0, ip_packet(payload=bytes(100)))
    left = []
    for _ in range(3):
        gates[1].answer(1)
        left += [frame.due for frame in burst.due(90 * MS)]
    assert left == [1 * MS, 2 * MS, 3 * MS]


def test_another_program_waits_for_the_packets_of_the_one_before():
    gates = []
    old, new = (LinkCondition(program=PacketProgram(lose_some, limit_ms=n)) for n in (1, 2))
    made = pipeline(old, gates=gates, kind=Slowly)
    made.offer(0, ip_packet(payload=b"0"))
    made.change(LinkSpec("laptop/eth0/up", 1, new))
    made.offer(1, ip_packet(payload=b"1"))
    gates[1].answer(1)
    assert made.due(MS) == []
    made.change(LinkSpec("laptop/eth0/up", 1, LinkCondition()))
    made.offer(2, ip_packet(payload=b"2"))
    assert made.due(MS) == []
    assert not gates[0].closed
    gates[0].answer(1)
    assert [bytes(frame.data)[42:] for frame in made.due(2 * MS)] == [b"0", b"1", b"2"]
    assert [gate.closed for gate in gates] == [True, True]
    assert made.empty


def test_a_program_stays_where_something_else_changes():
    gates = []
    program = PacketProgram(lose_some)
    made = pipeline(LinkCondition(program=program), gates=gates)
    made.change(LinkSpec("laptop/eth0/up", 1, LinkCondition(latency_ms=3, program=program)))
    assert len(gates) == 1
    made.change(LinkSpec("laptop/eth0/up", 1, LinkCondition()))
    assert gates[0].closed


def test_flows_have_programs_of_their_own_and_all_end_with_the_link():
    def shout(packet):
        packet.change(payload=packet.payload.upper())

    gates = []
    flows = [(FlowMatch(port=5), LinkCondition(program=shout))]
    made = pipeline(LinkCondition(), flows, gates=gates)
    made.offer(0, ip_packet(ports=(1, 5), payload=b"loud"))
    made.offer(1, ip_packet(ports=(1, 6), payload=b"low"))

    assert [bytes(frame.data)[42:] for _, frame in flush(made)] == [b"LOUD", b"low"]
    made.close()
    assert [gate.closed for gate in gates] == [True]


happenings = st.lists(st.sampled_from(["send", "answer", "change", "tick"]), max_size=60)


@settings(deadline=None)
@given(happenings, st.sampled_from([None, 500]))
def test_no_change_loses_or_reorders_what_programs_still_have(happenings, rate):
    gates = []
    programs = [None, *(PacketProgram(lose_some, limit_ms=n) for n in (1, 2))]
    made = pipeline(LinkCondition(rate_kbit=rate), gates=gates, kind=Slowly)
    now, sent, left, turn = 0, 0, [], 0
    for happening in happenings:
        now += MS
        match happening:
            case "send":
                made.offer(now, ip_packet(payload=sent.to_bytes(4)))
                sent += 1
            case "answer":
                for gate in gates:
                    gate.answer(1)
            case "change":
                turn += 1
                condition = LinkCondition(
                    rate_kbit=rate, queue_pkts=1000, program=programs[turn % 3]
                )
                made.change(LinkSpec("laptop/eth0/up", 1, condition))
            case "tick":
                left += made.due(now)
    while not made.empty:
        for gate in gates:
            gate.answer(100)
        now += 1000 * MS
        left += made.due(now)

    assert [int.from_bytes(bytes(frame.data)[-4:]) for frame in left] == list(range(sent))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda packet: True, "a packet program returns nothing, and this returned True"),
        (lambda packet: packet.delay("soon"), "must be real number"),
    ],
)
def test_mistakes_of_a_program_are_its_errors(function, said):
    run = ProgramRun(function, "laptop/eth0/up", 1, 0)
    with pytest.raises(TypeError, match=said):
        run.decide(0, bytes(60))
