"""Exceptions of a node, as they arrive in the client."""

import dataclasses
import os
import pickle
import subprocess
import sys
import threading
import traceback

import pytest

import actors.errors
from actors.errors import NodeDied, RemoteError, TravelError
from actors.exceptions import RemoteTraceback, pack_exception, unpack_exception
from actors.pickling import dumps, dumps_call, loads

OTHER_PROCESS = """
import pickle, sys
from actors.exceptions import pack_exception
from actors.pickling import dumps, loads
while True:
    received = pickle.load(sys.stdin.buffer)
    try:
        function, arguments, keywords = loads(received)
        kind, frames = "value", dumps(function(*arguments, **keywords))
    except BaseException as error:
        kind, frames = "error", pack_exception(error, "laptop")
    pickle.dump((kind, [bytes(frame) for frame in frames]), sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


@pytest.fixture(scope="module")
def call():
    """Run a function in another process, as a client and an actor would."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:

        def call(function, *arguments, **keywords):
            frames = dumps_call(function, arguments, keywords)
            pickle.dump([bytes(frame) for frame in frames], process.stdin)
            process.stdin.flush()
            kind, reply = pickle.load(process.stdout)
            if kind == "error":
                raise unpack_exception(reply)
            return loads(reply)

        yield call
        process.kill()


def there_and_back(exception):
    """As an exception arrives, if client and node are one process."""
    return unpack_exception(pack_exception(exception, "laptop"))


def raised(function):
    """The exception that a function raises, with its traceback."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


class Simple(Exception):
    pass


class KeywordOnly(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class NoArguments(Exception):
    def __init__(self):
        super().__init__("always the same", 1)


class OtherSignature(Exception):
    def __init__(self, host, port):
        super().__init__(f"{host}:{port} is gone")
        self.host, self.port = host, port


class Silent(Exception):
    """Made again from its args, it would be another: a copy must not differ in silence."""

    def __init__(self, host, port=80):
        super().__init__(f"{host}:{port}")


class ReduceRaises(Exception):
    def __reduce__(self):
        raise RuntimeError("no pickling today")


class StrRaises(Exception):
    def __str__(self):
        raise ValueError("no text today")


class StrExits(Exception):
    def __str__(self):
        raise SystemExit(4)


class Slotted(Exception):
    __slots__ = ("code",)


class NewWithKeyword(OSError):
    def __new__(cls, *, path):
        return super().__new__(cls, 2, "not here", path)

    def __init__(self, *, path):
        super().__init__(2, "not here", path)


class NeedsItsLock(Exception):
    def __init__(self, lock):
        super().__init__("locked")
        self.lock = lock

    def __str__(self):
        return f"locked: {self.lock.locked()}"


class GroupWithCode(ExceptionGroup):
    def __new__(cls, errors, code):
        self = super().__new__(cls, f"{len(errors)} errors", errors)
        self.code = code
        return self

    def __init__(self, errors, code):
        super().__init__(errors, code)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    reason: str


def test_it_arrives_as_itself_with_the_traceback_and_the_node(call):
    def fail():
        raise Simple("no", 7)

    with pytest.raises(Simple, match="no") as caught:
        call(fail)

    assert type(caught.value) is Simple
    assert caught.value.args == ("no", 7)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    printed = "".join(traceback.format_exception(caught.value))
    assert 'raise Simple("no", 7)' in printed
    assert "on node 'laptop'" in printed


def test_the_remote_traceback_starts_at_the_function_of_the_user(call):
    def fail():
        return int("x")

    with pytest.raises(ValueError) as caught:
        call(fail)

    text = caught.value.__cause__.text
    assert text.startswith("Traceback (most recent call last):")
    assert os.path.join("actors", "pickling.py") not in text
    assert "in fail" in text
    assert text.endswith("ValueError: invalid literal for int() with base 10: 'x'")


def test_entries_of_this_package_at_the_start_are_left_out():
    namespace = {}
    file = os.path.join(os.path.dirname(actors.errors.__file__), "serving.py")
    exec(compile("def serve(function): return function()", file, "exec"), namespace)

    def fail():
        raise Simple

    error = raised(lambda: namespace["serve"](fail))
    text = unpack_exception(pack_exception(error, "laptop", skip=2)).__cause__.text

    assert "serving.py" not in text
    assert "in fail" in text


def test_entries_at_the_start_can_be_skipped():
    def inner():
        raise Simple

    def outer():
        inner()

    text = unpack_exception(pack_exception(raised(outer), "a", skip=2)).__cause__.text

    assert "in inner" in text
    assert "in outer" not in text


@pytest.mark.parametrize(
    ("make", "attributes"),
    [
        (lambda: KeywordOnly(code=4), {"code": 4, "args": ("code 4",)}),
        (NoArguments, {"args": ("always the same", 1)}),
        (lambda: OtherSignature("h", 1), {"host": "h", "port": 1, "args": ("h:1 is gone",)}),
        (lambda: Silent("h", 1), {"args": ("h:1",)}),
        (lambda: ReduceRaises("x"), {"args": ("x",)}),
        (lambda: StrRaises("x"), {"args": ("x",)}),
        (lambda: StrExits("x"), {"args": ("x",)}),
        (lambda: NewWithKeyword(path="/x"), {"errno": 2, "filename": "/x"}),
        (lambda: Frozen("why"), {"reason": "why"}),
        (lambda: SystemExit(3), {"code": 3}),
        (lambda: KeyboardInterrupt(), {"args": ()}),
        (lambda: StopIteration(5), {"value": 5}),
        (lambda: FileNotFoundError(2, "no", "/a", None, "/b"), {"errno": 2, "filename2": "/b"}),
        (
            lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
            {"object": b"\xff", "end": 1, "reason": "bad"},
        ),
        (
            lambda: subprocess.CalledProcessError(2, ["ls"], output=b"o", stderr=b"e"),
            {"returncode": 2, "cmd": ["ls"], "output": b"o", "stderr": b"e"},
        ),
        (lambda: ImportError("no", name="n", path="p"), {"name": "n", "path": "p"}),
        (lambda: NodeDied("phone", "killed", -9, ["a"]), {"node": "phone", "status": -9}),
        (lambda: ValueError(float("nan"), object), {}),
    ],
)
def test_type_and_fields_arrive(call, make, attributes):
    def fail():
        raise make()

    error = raised(lambda: call(fail))

    assert type(error) is type(make())
    assert {name: getattr(error, name) for name in attributes} == attributes
    assert isinstance(error.__cause__, RemoteTraceback)
    assert error.__notes__[-1] == "on node 'laptop'"


def test_an_errno_error_of_the_kernel_prints_the_same(call):
    error = raised(lambda: call(open, "/nowhere/at/all"))

    assert type(error) is FileNotFoundError
    assert str(error) == "[Errno 2] No such file or directory: '/nowhere/at/all'"


def test_slots_arrive():
    error = Slotted("x")
    error.code = 5

    assert there_and_back(error).code == 5


def test_an_attribute_that_cannot_travel_stays_behind_and_is_named():
    error = Simple("x")
    error.lock, error.code = threading.Lock(), 5

    arrived = there_and_back(error)

    assert type(arrived) is Simple
    assert arrived.code == 5
    assert not hasattr(arrived, "lock")
    assert arrived.__notes__ == [
        "on node 'laptop'",
        "left on the node, as they cannot be sent: lock",
    ]


def test_without_what_its_text_needs_it_becomes_a_remote_error():
    arrived = there_and_back(NeedsItsLock(threading.Lock()))

    assert type(arrived) is RemoteError
    assert arrived.message == "locked: False"


def test_arguments_that_cannot_travel_make_a_remote_error():
    arrived = there_and_back(Simple("x", threading.Lock()))

    assert type(arrived) is RemoteError
    assert arrived.type_name.endswith("Simple")
    assert arrived.message.startswith("('x', <unlocked")
    assert "Simple: ('x', <unlocked" in arrived.traceback_text
    assert "on node 'laptop'" in arrived.__notes__


def test_a_class_of_a_module_that_the_client_does_not_have(call, tmp_path):
    (tmp_path / "only_on_the_node.py").write_text("class Odd(Exception): pass\n")

    def fail(path):
        sys.path.insert(0, path)
        import only_on_the_node

        raise only_on_the_node.Odd("very")

    error = raised(lambda: call(fail, str(tmp_path)))

    assert type(error) is RemoteError
    assert (error.type_name, error.message) == ("only_on_the_node.Odd", "very")
    assert "raise only_on_the_node.Odd" in error.traceback_text
    assert any("cannot be loaded here: ModuleNotFoundError" in note for note in error.__notes__)


def test_a_class_that_was_born_on_the_node(call):
    def fail():
        class Local(LookupError):
            pass

        raise Local("x")

    error = raised(lambda: call(fail))

    assert type(error).__name__ == "Local"
    assert isinstance(error, LookupError)


def test_groups_arrive_with_what_is_in_them(call):
    def fail():
        inner = ExceptionGroup("inner", [KeywordOnly(code=1), OSError(5, "io", "/f")])
        raise ExceptionGroup("outer", [Simple("x"), inner, GroupWithCode([Simple("y")], 9)])

    error = raised(lambda: call(fail))

    assert type(error) is ExceptionGroup
    simple, inner, special = error.exceptions
    assert type(simple) is Simple
    assert inner.exceptions[0].code == 1
    assert inner.exceptions[1].filename == "/f"
    assert type(special) is GroupWithCode
    assert (special.code, special.message, len(special.exceptions)) == (9, "1 errors", 1)
    assert error.subgroup(KeywordOnly) is not None


def test_a_base_exception_group_arrives():
    arrived = there_and_back(BaseExceptionGroup("stop", [KeyboardInterrupt(), KeywordOnly(code=1)]))

    assert type(arrived) is BaseExceptionGroup
    assert [type(each) for each in arrived.exceptions] == [KeyboardInterrupt, KeywordOnly]


def test_in_a_group_only_what_cannot_travel_is_replaced():
    group = ExceptionGroup("g", [Simple("x", threading.Lock()), KeywordOnly(code=3)])

    arrived = there_and_back(group)

    assert type(arrived) is ExceptionGroup
    assert [type(each) for each in arrived.exceptions] == [RemoteError, KeywordOnly]


def test_causes_and_contexts_are_in_the_text(call):
    def fail():
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise OSError("second")  # noqa: B904, the context is wanted
        except OSError as error:
            raise Simple("third") from error

    text = raised(lambda: call(fail)).__cause__.text

    assert text.index("KeyError: 'first'") < text.index("OSError: second") < text.index("third")
    assert "direct cause" in text
    assert "During handling" in text


def test_recursive_causes_end():
    one, other = Simple("one"), Simple("other")
    one.__cause__, other.__context__ = other, one

    arrived = there_and_back(one)

    assert arrived.args == ("one",)
    assert "Simple: other" in arrived.__cause__.text


def test_exceptions_that_refer_to_themselves():
    error, other = Simple("x"), Simple()
    error.me, error.others = error, [error, other]
    other.args = (error,)
    error.lock = threading.Lock()

    arrived = there_and_back(error)

    assert arrived.me is arrived
    assert arrived.others[0] is arrived
    assert arrived.others[1].args == (arrived,)
    assert arrived.__notes__[-1].endswith(": lock")


def test_its_own_argument():
    error = KeywordOnly(code=1)
    error.args = (error,)

    arrived = there_and_back(error)

    assert type(arrived) in (KeywordOnly, RemoteError)
    assert arrived.__cause__.text


def test_a_long_chain_of_causes_ends():
    error = Simple(0)
    for number in range(1, 3000):
        following = Simple(number)
        following.__cause__ = error
        error = following

    arrived = there_and_back(error)

    assert arrived.args == (2999,)
    assert "2999" in arrived.__cause__.text


def test_a_message_of_10_mb_arrives_whole_and_its_text_is_bounded():
    arrived = there_and_back(Simple("a" * 10_000_000))
    replaced = there_and_back(Simple("b" * 10_000_000, threading.Lock()))

    assert arrived.args == ("a" * 10_000_000,)
    assert "characters left out" in arrived.__cause__.text
    assert len(arrived.__cause__.text) < 20_000
    assert "b" * 10_000_000 in replaced.message


def test_endless_recursion_arrives(call):
    def fail(n=0):
        return fail(n + 1)

    error = raised(lambda: call(fail))

    assert type(error) is RecursionError
    assert "Previous line repeated" in error.__cause__.text


def test_notes_are_kept():
    error = Simple("x")
    error.add_note("seen by me")

    arrived = there_and_back(error)

    assert arrived.__notes__ == ["seen by me", "on node 'laptop'"]
    assert "seen by me" in arrived.__cause__.text


def test_notes_that_are_no_list_are_no_hindrance():
    error = Simple("x")
    error.__notes__ = 5

    assert there_and_back(error).__notes__ == ["on node 'laptop'"]


def test_the_original_is_left_as_it_was():
    error = raised(lambda: int("x"))
    before = (error.__traceback__, error.__cause__, dict(vars(error)))

    pack_exception(error, "laptop")

    assert (error.__traceback__, error.__cause__, dict(vars(error))) == before


def test_a_second_journey_keeps_both_tracebacks():
    arrived = there_and_back(raised(lambda: int("x")))

    again = unpack_exception(pack_exception(arrived, "home"))

    assert again.__notes__ == ["on node 'laptop'", "on node 'home'"]
    assert "invalid literal" in again.__cause__.text
    assert "in <lambda>" in again.__cause__.text


def test_a_result_that_cannot_travel_says_so(call):
    with pytest.raises(TravelError, match=r"lock object.*\n  it is the value"):
        call(threading.Lock)


def test_the_text_of_an_exception_is_plain():
    class Text(str):
        __slots__ = ()

    class Odd(Exception):
        def __init__(self):
            super().__init__(threading.Lock())

        def __str__(self):
            return Text("odd")

    assert type(there_and_back(Odd()).message) is str


def test_values_raise_nothing_on_the_way(call):
    assert call(sorted, [3, 1]) == [1, 3]
    assert loads(dumps(None)) is None
