"""Link conditions by a process of our own: packet sockets, the process, and who talks to it."""
