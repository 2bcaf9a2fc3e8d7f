"""Packet capture: filters, the process that records, pcapng, and the handle of a recording."""
