"""Which hosts behind which NATs can be put in touch by a third one: what theory says."""

from __future__ import annotations

from patchbay import NatConfig, NatFiltering, NatMapping


def reaches(sender: NatConfig, receiver: NatConfig) -> bool:
    """What theory says: whether a packet to where a third one saw the receiver comes in.

    Both have sent to where the third one saw the other.
    """
    independent = NatMapping.ENDPOINT_INDEPENDENT
    match receiver.filtering:
        case NatFiltering.ENDPOINT_INDEPENDENT:
            return True
        case NatFiltering.ADDRESS_DEPENDENT:
            return receiver.mapping is independent
        case NatFiltering.ADDRESS_AND_PORT_DEPENDENT:
            return receiver.mapping is independent and sender.mapping is independent


def punches(one: NatConfig, other: NatConfig) -> bool:
    """Whether two hosts get in touch: whoever is reached answers where it was reached from."""
    return reaches(one, other) or reaches(other, one)
