"""STUN (RFC 8489) and what NATs are found out with (RFC 5780): codec, server, discovery."""
