"""The rules that keep the rooms of this repository apart, and every module small and explained."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("actors", "patchbay")
    for path in sorted((ROOT / package).rglob("*.py"))
}

PURE = (
    *("patchbay.topology", "patchbay.rules", "patchbay.values", "patchbay.errors"),
    *("patchbay.links.spec", "patchbay.links.packets", "patchbay.links.choice"),
    *("patchbay.links.distributions", "patchbay.links.queues", "patchbay.links.programs"),
    "patchbay.links.reading",
)
CODEC = "patchbay.wiring.netlink"
"""Netlink's messages as bytes: it talks to no kernel, so the pure rules can be written in it."""
MAY_IMPORT = {
    "actors": (),
    # A packet program is a value that has code in it, and a packet for its argument.
    "patchbay.values": (
        "actors.pickling",
        "patchbay.errors",
        "patchbay.links.programs.packet",
    ),
    "patchbay.errors": ("actors.errors",),
    "patchbay.rules": (*PURE, CODEC),
    "patchbay.topology": (*PURE, "actors.protocol"),
    "patchbay.links.packets": PURE,
    "patchbay.links.programs": PURE,
    "patchbay.links.spec": PURE,
    "patchbay.links.choice": PURE,
    "patchbay.links.distributions": PURE,
    "patchbay.links.queues": PURE,
    "patchbay.links.reading": PURE,
    "patchbay.drawing": PURE,
    "patchbay.stun": ("patchbay.values",),
    "patchbay.services": (*PURE, "patchbay.wiring"),
    "patchbay.wiring": (*PURE, "actors", "patchbay.links.userspace"),
    "patchbay.doctor": (
        "actors.errors",
        "actors.linux",
        "patchbay.clock",
        "patchbay.guest",
        "patchbay.rules",
        "patchbay.values",
        "patchbay.wiring",
    ),
    "patchbay.clock": ("actors.errors", "patchbay.errors"),
    "patchbay.guest": ("actors.errors", "actors.linux", "patchbay.clock", "patchbay.errors"),
    "patchbay.pytest_guest": ("actors.errors", "patchbay.clock", "patchbay.guest"),
    "patchbay.pytest_timing": ("patchbay", "patchbay.fidelity"),
    "patchbay.pytest_plugin": (
        "patchbay",
        "patchbay.clock",
        "patchbay.doctor",
        "patchbay.pytest_guest",
        "patchbay.pytest_timing",
    ),
    "patchbay.cli": (
        "patchbay",
        "patchbay.doctor",
        "patchbay.errors",
        "patchbay.guest",
        "patchbay.version",
    ),
    "patchbay.version": (),
}
"""What each room may import of this repository, besides itself. A room that is named with a dot
is all that is below it; plain `patchbay` is what its `__init__` re-exports, and nothing below."""

FOR_NOBODY = ("patchbay.cli", "patchbay.pytest_plugin", "patchbay.__main__")
"""The outermost rooms: no other room leans on them."""

INPUT_AND_OUTPUT = {
    *("asyncio", "concurrent", "ctypes", "fcntl", "io", "mmap", "multiprocessing", "os"),
    *("pathlib", "resource", "select", "selectors", "shutil", "signal", "socket", "subprocess"),
    *("tempfile", "threading", "time", "zmq"),
}
"""What the pure rooms and the drawing do not import: they neither wait nor touch the world."""

PROGRAMS = {"ip", "tc", "nft", "iptables", "ip6tables", "conntrack", "nsenter", "unshare", "brctl"}
STARTERS = {
    *("run", "Popen", "popen", "call", "check_call", "check_output", "system", "which", "execv"),
    *("execve", "execvp", "execvpe", "execl", "execlp", "posix_spawn", "posix_spawnp"),
    *("create_subprocess_exec", "create_subprocess_shell"),
}

MOST_LINES = 450
LONGER = dict[str, str]()
"""Modules that may be longer, and why."""

every_module = pytest.mark.parametrize("module", MODULES)


@functools.cache
def tree(module):
    return ast.parse(MODULES[module].read_text())


def imports(module):
    """Every module that a module imports, also in functions, as (line, name).

    `from package import name` counts as `package.name` where that is a module.
    """
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: write imports out in full"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield node.lineno, below if below in MODULES else node.module


def is_in(module, room):
    return module == room or module.startswith(f"{room}.")


def allows(room, imported):
    rooms = MAY_IMPORT[room]
    return is_in(imported, room) or any(
        imported == each if each == "patchbay" else is_in(imported, each) for each in rooms
    )


@every_module
def test_a_room_imports_only_the_rooms_below_it(module):
    rooms = [room for room in MAY_IMPORT if is_in(module, room)]
    around = [
        f"line {line}: {imported}"
        for line, imported in imports(module)
        if imported.partition(".")[0] in ("actors", "patchbay")
        and (
            any(not allows(room, imported) for room in rooms)
            or (
                not rooms
                and module != "patchbay.__main__"
                and any(is_in(imported, room) for room in FOR_NOBODY)
            )
        )
    ]

    assert around == [], f"{module} reaches for a room it may not lean on"


@pytest.mark.parametrize(
    "module",
    [name for name in MODULES if any(is_in(name, room) for room in (*PURE, "patchbay.drawing"))],
)
def test_a_pure_room_touches_nothing_outside(module):
    outside = [
        f"line {line}: {imported}"
        for line, imported in imports(module)
        if imported.partition(".")[0] in INPUT_AND_OUTPUT
    ]

    assert outside == [], f"{module} belongs to a pure room"


@every_module
def test_a_module_is_small(module):
    lines = len(MODULES[module].read_text().splitlines())

    assert lines <= MOST_LINES or module in LONGER, f"{module}: split it by its ideas"


@every_module
def test_what_is_public_is_explained(module):
    silent = [
        f"line {node.lineno}: {name}"
        for name, node in public(module)
        if not ast.get_docstring(node)
    ]
    if not is_silent_init(module) and not ast.get_docstring(tree(module)):
        silent.append("the module itself")

    assert silent == [], f"{module} has public names without a docstring"


def public(module):
    """Public classes and functions, and the methods of those classes that no base explains."""
    for node in tree(module).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            for method in methods(node):
                if not method.name.startswith("_") and method.name not in explained(node):
                    yield f"{node.name}.{method.name}", method


def methods(of_class):
    """The methods of a class; of an overloaded or settable one, the definition that explains."""
    found = {}
    for node in of_class.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.setdefault(node.name, node)
            if ast.get_docstring(node):
                found[node.name] = node
    return list(found.values())


def explained(of_class):
    """The names of the methods that bases in this repository explain, or promise by a protocol."""
    names = set()
    for base in of_class.bases:
        name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        for parent in classes().get(name, ()):
            if parent is not of_class:
                names |= {each.name for each in methods(parent) if ast.get_docstring(each)}
                names |= explained(parent)
    return names


@functools.cache
def classes():
    found = {}
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


def is_silent_init(module):
    return MODULES[module].name == "__init__.py" and not tree(module).body


@pytest.mark.parametrize(
    "module", [name for name, path in MODULES.items() if path.name == "__init__.py"]
)
def test_the_init_of_a_folder_only_re_exports(module):
    def is_re_export(node):
        if isinstance(node, ast.Assign):
            return [ast.unparse(target) for target in node.targets] == ["__all__"]
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        return is_text or isinstance(node, ast.ImportFrom)

    logic = [f"line {node.lineno}" for node in tree(module).body if not is_re_export(node)]

    assert logic == [], f"{module} does more than to re-export"


@every_module
def test_no_program_is_run_for_what_netlink_can_do(module):
    started = [
        f"line {node.lineno}: {program}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "attr", None) or getattr(node.func, "id", None)) in STARTERS
        for program in (first_word(argument) for argument in node.args)
        if program in PROGRAMS
    ]

    assert started == []


def first_word(argument):
    """The program that a command is for, given as a text or as a list of texts."""
    if isinstance(argument, ast.List | ast.Tuple) and argument.elts:
        argument = argument.elts[0]
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return Path((argument.value.split() or [""])[0]).name
    return None


def test_the_packages_are_typed_and_licensed():
    for name in ("actors/py.typed", "patchbay/py.typed", "LICENSE-MIT", "LICENSE-APACHE"):
        assert (ROOT / name).exists()
    assert "the patchbay authors" in (ROOT / "LICENSE-MIT").read_text()
    assert "the patchbay authors" in (ROOT / "LICENSE-APACHE").read_text()
