"""Classes of times, to count how long packets waited without keeping any of them.

As in an HDR histogram, each power of two is split into eight classes: what a class stands for is
right to 6 %.
"""

from __future__ import annotations

_SPLIT = 3
"""The binary logarithm of the number of classes for each power of two."""


def wait_class(nanoseconds: int) -> int:
    """The class of a time, which is not negative."""
    octave = nanoseconds.bit_length() - 1 - _SPLIT
    return nanoseconds if octave <= 0 else (octave << _SPLIT) + (nanoseconds >> octave)


def class_wait(number: int) -> float:
    """The time in the middle of a class, in nanoseconds."""
    octave = (number >> _SPLIT) - 1
    if octave <= 0:
        return float(number)
    return (number - (octave << _SPLIT) + 0.5) * (1 << octave)
