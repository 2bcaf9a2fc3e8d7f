"""Processes of their own for the nodes of a lab, and code that runs in them.

A client process has one launcher, a launcher forks a supervisor for each lab, a supervisor forks an
actor for each node. When any of them ends, by whatever, the kernel ends those below it.

Nothing in here knows about networks, beyond that a node has a network namespace. An import may only
point downwards in this list:

    node, process, virtual, pump, tasks     what a client does with nodes
    connection, attachment, launching       what a client process holds
    launcher, supervisor, children          the processes that fork
    actor, serving, door, execution, ...    the processes that run user code
    channel, isolation, processes, loop     thin shells around the kernel
    exceptions, coroutines, pickling        what travels
    protocol, output, errors, linux         what all of them lean on

Nothing is loaded here: what a process has loaded is what each fork of it has to copy, and the
processes that fork need none of the client's side.
"""
