"""What links do to packets, as functions of time and seed: no I/O, no clock."""
