"""A laboratory of real Linux network stacks.

    from patchbay import Lab

    with Lab("first") as lab:
        home = lab.add_router("home", preset="home")
        laptop = lab.add_device("laptop", home)
        print(laptop.run(["ip", "address"]).stdout)

Layers, from below: `values` and `errors`; the pure `topology` and `rules`; `wiring`, which tells
the kernel; `director`, which lives in a lab's supervisor; `lab`, `nodes` and `iface`, the handles;
`aio`, the same for asyncio. `cli`, `doctor` and `pytest_plugin` lean on what is exported here.
Arrows point downwards only; the tests hold us to it.

Nothing of it is loaded before the first of these names is used: pytest imports the plugin in every
run on a machine, and the processes of a lab import only what they need. `exports` lists the names.
"""

from patchbay.lazily import attribute as __getattr__  # noqa: F401, asked for by PEP 562
from patchbay.lazily import names as __dir__  # noqa: F401
