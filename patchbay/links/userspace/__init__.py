"""Link conditions by a process of our own: a pure core, and the process that feeds it."""
