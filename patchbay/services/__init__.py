"""What routers serve on their LANs, out of the supervisor: pages and small protocols.

The protocols are pure, from bytes to bytes. Their sockets are the router's, and are watched by the
supervisor's loop: what they ask for changes the network, which only it may do, and the calls of a
user on the router are not in their way.
"""
