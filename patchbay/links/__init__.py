"""How the conditions of links come about: by the kernel's queues, or by a process of our own."""
