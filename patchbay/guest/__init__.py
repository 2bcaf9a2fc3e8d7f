"""A kernel of our own, run as an ordinary process: every feature of a lab, and virtual time.

Nothing is imported here, so that running a command in a guest loads nothing that builds kernels:
`build` builds one, `cache` finds it, `check` starts it, `running` runs a command in it.
"""
