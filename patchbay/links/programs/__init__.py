"""Packet programs: what a function sees of a packet, and what becomes of what it says."""
