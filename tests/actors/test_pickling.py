"""What travels between processes, how, and what is said of what cannot."""

import abc
import collections
import dataclasses
import enum
import functools
import importlib.util
import io
import ipaddress
import json.scanner
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import types
import typing

import pytest

from actors.errors import TravelError
from actors.exceptions import unpack_exception
from actors.homes import importable_elsewhere
from actors.pickler import Pickler, by_value
from actors.pickling import dumps, dumps_call, loads, pickled

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


def there_and_back(value):
    """As it arrives, in frames that can be written to, as those of ZeroMQ can."""
    return loads([memoryview(bytearray(frame)) for frame in dumps(value)])


OFFSET = 10
LOCK = threading.Lock()


def add(a, b=1):
    return a + b + OFFSET


@functools.lru_cache(maxsize=50)
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def uses_the_lock():
    return LOCK.locked()


def uses_it_deep():
    return [uses_the_lock()]


T = typing.TypeVar("T")
P = typing.ParamSpec("P")
UserId = typing.NewType("UserId", int)


class Shape(abc.ABC):
    made: typing.ClassVar = []

    def __init_subclass__(cls):
        Shape.made.append(cls.__name__)

    @abc.abstractmethod
    def area(self): ...


@dataclasses.dataclass
class Square(Shape):
    side: int
    label: str = "square"

    def area(self):
        return self.side**2 + OFFSET - 10


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: int


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Mode(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Point(typing.NamedTuple):
    x: int
    y: int


class Options(typing.TypedDict, total=False):
    name: str


class Box(typing.Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content


class HasArea(typing.Protocol):
    def area(self) -> int: ...


class Failure(Exception):
    pass


class WithSuper(Square):
    def area(self):
        return super().area() + 1


CLASSES = [
    *(Shape, Square, Slotted, Colour, Mode, Point, Options, Box, HasArea, Failure, WithSuper)
]


# --- code --------------------------------------------------------------------------------------


def test_functions_of_every_kind_travel(call):
    captured = 5
    square = Square(3)

    def closure(x):
        return x + captured

    assert call(add, 1) == 12
    assert call(lambda: captured) == 5
    assert call(closure, 1) == 6
    assert call(functools.partial(add, b=2), 1) == 13
    assert call(square.area) == 9
    assert call(WithSuper(2).area) == 5
    assert call(Square, 4) == Square(4)
    assert call(fibonacci, 20) == 6765
    assert call(os.path.join, "a", "b") == "a/b"
    assert call(ipaddress.ip_address, "10.0.0.1") == ipaddress.ip_address("10.0.0.1")
    assert call("a-b".split, "-") == ["a", "b"]


def test_a_function_annotated_with_local_types_travels(call):
    def annotated(user: UserId, box: Box[T], call: typing.Callable[P, T]) -> Options | None:
        return None

    assert call(annotated, 1, 2, 3) is None
    annotations = call(lambda: annotated).__annotations__
    assert annotations["user"] is UserId
    assert annotations["call"].__args__[0] is P


def test_a_module_of_the_standard_library_travels_by_name(call):
    assert call(lambda: (json, os.path)) == (json, os.path)


def test_asserts_do_not_load_pytest_on_the_other_side_until_they_fail(call):
    def passes():
        assert OFFSET == 10
        return [name for name in sys.modules if name.startswith("_pytest")]

    def fails():
        try:
            assert OFFSET == 11
        except AssertionError as error:
            return str(error)

    assert call(passes) == []
    assert "10 == 11" in call(fails)


# --- identity of classes -----------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_class_comes_back_as_the_same_object(call, cls):
    assert by_value(cls)
    assert call(lambda: cls) is cls


@pytest.mark.parametrize(
    "value",
    [
        Square(3),
        Slotted(1),
        Colour.BLUE,
        Mode.READ | Mode.WRITE,
        Point(1, 2),
        {Colour.RED: [Point(1, 2)]},
        UserId(4),
        collections.OrderedDict(a=Square(1)),
    ],
    ids=repr,
)
def test_instances_come_back_equal_and_of_the_same_class(call, value):
    back = call(lambda x: x, value)

    assert back == value
    assert type(back) is type(value)


def test_enum_members_stay_single(call):
    assert call(lambda: Colour.BLUE) is Colour.BLUE


def test_a_class_is_not_changed_by_its_copies(call):
    area, made = Square.area, list(Shape.made)

    def change():
        Square.area = lambda self: -1
        Square.extra = 1
        return Square(1)

    back = call(change)

    assert type(back) is Square
    assert Square.area is area
    assert not hasattr(Square, "extra")
    assert back.area() == 1
    assert Shape.made == made


def test_a_change_of_a_class_at_home_reaches_its_copies(call, monkeypatch):
    assert call(lambda: Square(2).label) == "square"

    monkeypatch.setattr(Square, "kind", "new", raising=False)

    assert call(lambda: Square(2).kind) == "new"


def test_a_class_born_elsewhere_keeps_its_identity_too(call):
    def make():
        class Local:
            pass

        return Local

    local = call(make)

    assert call(lambda: local) is local
    assert isinstance(call(lambda: local()), local)


# --- where modules live ------------------------------------------------------------------------


def test_test_modules_and_programs_travel_by_value_and_libraries_by_name():
    assert not importable_elsewhere(__name__)
    assert not importable_elsewhere("__main__")
    for name in (
        "os",
        "sys",
        "posixpath",
        "os.path",
        "json.decoder",
        "collections.abc",
        "pytest",
        "actors.errors",
        "xml",
    ):
        importlib.import_module(name)
        assert importable_elsewhere(name), name


def load_file(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_a_module_loaded_from_a_file_travels_by_value_unless_an_import_finds_it(
    tmp_path, monkeypatch
):
    (tmp_path / "helper_of_mine.py").write_text("def f(): return 1\n")
    (tmp_path / "test_of_mine.py").write_text("def f(): return 1\n")
    for name in ("helper_of_mine", "test_of_mine"):
        monkeypatch.setitem(sys.modules, name, None)

    load_file("helper_of_mine", tmp_path / "helper_of_mine.py")
    assert not importable_elsewhere("helper_of_mine")

    monkeypatch.syspath_prepend(tmp_path)
    load_file("helper_of_mine", tmp_path / "helper_of_mine.py")
    assert importable_elsewhere("helper_of_mine")
    load_file("test_of_mine", tmp_path / "test_of_mine.py")
    assert not importable_elsewhere("test_of_mine")


def test_another_file_of_the_same_name_does_not_count(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in "ab":
        (tmp_path / folder / "twin_of_mine.py").write_text(f"def f(): return {folder!r}\n")
    monkeypatch.setitem(sys.modules, "twin_of_mine", None)
    monkeypatch.syspath_prepend(tmp_path / "a")

    module = load_file("twin_of_mine", tmp_path / "b" / "twin_of_mine.py")

    assert not importable_elsewhere("twin_of_mine")
    assert by_value(module.f)


def test_a_module_made_at_run_time_travels_by_value(call, monkeypatch):
    module = types.ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", module)
    exec("import made_up\nx = 7\ndef f(): return made_up.x + x", vars(module))

    assert call(lambda: module.f()) == 14


def test_cloudpickles_registry_for_the_whole_process_is_left_alone():
    import cloudpickle

    dumps_call(add, (1,), {})

    assert cloudpickle.list_registry_pickle_by_value() == set()


IN_EVERY_MODE = '''
import pickle, subprocess, sys
import pytest
from actors.exceptions import unpack_exception
from actors.pickling import dumps_call
import helper_in_a_test_folder

SCRIPT = """
import pickle, sys
from actors.exceptions import pack_exception
from actors.pickling import loads
function, arguments, keywords = loads(pickle.load(sys.stdin.buffer))
try:
    function(*arguments, **keywords)
except Exception as error:
    frames = pack_exception(error, "laptop")
pickle.dump([bytes(frame) for frame in frames], sys.stdout.buffer)
"""

class MyError(Exception):
    def __init__(self, *, code):
        self.code = code

class Base:
    code = 5

class Derived(Base):
    def fail(self):
        assert helper_in_a_test_folder.value() == 3
        raise MyError(code=self.code)

def test_identity(own_class):
    frames = [bytes(frame) for frame in dumps_call(Derived().fail, (), {})]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=pickle.dumps(frames), stdout=subprocess.PIPE
    )
    with pytest.raises(MyError) as caught:
        raise unpack_exception(pickle.loads(done.stdout))
    assert caught.value.code == 5
    assert own_class().value == 1
'''


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_code_of_test_modules_travels_in_every_import_mode(tmp_path, mode):
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (tmp_path / "helper_in_a_test_folder.py").write_text("def value(): return 3\n")
    (tmp_path / "conftest.py").write_text(
        textwrap.dedent("""
            import pytest
            class Own:
                value = 1
            @pytest.fixture
            def own_class():
                from actors.pickling import dumps, loads
                assert loads(dumps(Own)) is Own
                return Own
        """)
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "test_identity.py").write_text(IN_EVERY_MODE)
    path = os.pathsep.join([str(tmp_path), *sys.path])

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--import-mode={mode}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr


PROGRAM = '''
import pickle, subprocess, sys
from actors.pickling import dumps_call, loads

class Answer:
    def __init__(self, value):
        self.value = value

def answer():
    return Answer(42)

SCRIPT = """
import pickle, sys
from actors.pickling import dumps, loads
function, arguments, keywords = loads(pickle.load(sys.stdin.buffer))
pickle.dump([bytes(f) for f in dumps(function(*arguments, **keywords))], sys.stdout.buffer)
"""
frames = [bytes(frame) for frame in dumps_call(answer, (), {})]
done = subprocess.run(
    [sys.executable, "-c", SCRIPT], input=pickle.dumps(frames), stdout=subprocess.PIPE
)
back = loads(pickle.loads(done.stdout))
print(type(back) is Answer, back.value)
'''


def test_code_of_a_program_travels(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)

    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )

    assert (done.stdout, done.stderr) == ("True 42\n", "")


# --- data --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        "text",
        b"bytes",
        (1, [2, {"three": {4}}]),
        "long" * 100_000,
        b"long" * 100_000,
        bytearray(b"long" * 100_000),
        [b"long" * 100_000, "ünicode" * 100_000, b"x" * 70_000, list(range(100_000))],
        {"deep": [({"deeper": b"y" * 5_000_000},)]},
        {i: str(i) for i in range(50_000)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_arrives_equal(value):
    assert there_and_back(value) == value


def test_sharing_inside_one_payload_is_kept():
    big = b"x" * 1_000_000
    one, other = there_and_back([big, [big]])

    assert other[0] is one
    assert len(dumps([big, [big]])) == 4


def test_small_payloads_are_one_frame():
    assert len(dumps((add, (1, "a", b"b"), {}))) == 1
    assert len(dumps(bytearray(10))) == 1


def test_large_data_is_not_copied_on_its_way_out_and_once_on_its_way_in():
    size = 100 * 1024 * 1024
    data = bytes(size)
    tracemalloc.start()
    try:
        frames = dumps_call(len, ([{"data": data}],), {})
        out = tracemalloc.get_traced_memory()[1]
        assert any(frame is data for frame in frames)
        tracemalloc.reset_peak()
        back = loads(frames)
        into = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert back[1][0][0]["data"] == data
    assert out < size / 100
    assert into < size * 1.01


def test_arrays_refer_to_the_frames_and_can_be_written_to():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(1_000_000).reshape(1000, 1000)

    frames = dumps({"a": array})
    assert len(frames) == 2
    assert numpy.shares_memory(numpy.frombuffer(frames[1], array.dtype), array)
    received = [memoryview(bytearray(frame)) for frame in frames]
    back = loads(received)["a"]
    back[0, 0] = -1

    assert (back[1:] == array[1:]).all()
    assert received[1].cast("q")[0] == -1
    assert not loads([bytes(frame) for frame in frames])["a"].flags.writeable


def test_frames_of_zeromq_make_arrays_that_can_be_written_to():
    numpy, zmq = pytest.importorskip("numpy"), pytest.importorskip("zmq")
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as two:
        one.bind("inproc://arrays")
        two.connect("inproc://arrays")
        one.send_multipart(dumps(numpy.zeros(100_000)), copy=False)
        back = loads([frame.buffer for frame in two.recv_multipart(copy=False)])
    back += 1

    assert back.sum() == 100_000


def test_small_and_strided_arrays_arrive():
    numpy = pytest.importorskip("numpy")
    for array in (numpy.arange(5), numpy.arange(200_000)[::2], numpy.zeros((0, 3))):
        back = there_and_back(array)
        assert (back == array).all()
        assert back.flags.writeable


@pytest.mark.parametrize(
    "view",
    [
        memoryview(b"abc"),
        memoryview(b""),
        memoryview(bytearray(100_000)),
        memoryview(b"abcdef")[::2],
        memoryview(bytes(range(24))).cast("i", (2, 3)),
    ],
    ids=lambda view: f"{view.format}{view.shape}{view.strides}",
)
def test_memory_views_arrive_as_views_with_their_items(view):
    back = there_and_back(view)

    assert type(back) is memoryview
    assert (back.format, back.shape, back.tolist()) == (view.format, view.shape, view.tolist())


def test_frames_that_are_no_pickle_are_refused():
    for frames in ([], [b""], [b"hello"]):
        with pytest.raises(ValueError, match="no"):
            loads(frames)


def test_what_cannot_be_imported_on_arrival_says_why():
    frames = [pickle.dumps(add).replace(__name__.encode(), b"x" * len(__name__))]

    with pytest.raises(ModuleNotFoundError) as caught:
        loads(frames)

    assert "must be importable here" in caught.value.__notes__[0]


# --- what cannot travel ------------------------------------------------------------------------


class Holder:
    def __init__(self, content):
        self.content = content

    def method(self):
        return self.content


class ReduceRaises:
    def __reduce__(self):
        raise RuntimeError("never")

    def __repr__(self):
        raise RuntimeError("never, too")


def refused(function, *arguments, **keywords):
    with pytest.raises(TravelError) as caught:
        dumps_call(function, arguments, keywords)
    return str(caught.value)


def generator():
    yield 1


@pytest.mark.parametrize(
    ("make", "name", "way_out"),
    [
        (threading.Lock, "_thread.lock", "make it inside the function"),
        (threading.RLock, "_thread.RLock", "make it inside the function"),
        (threading.Thread, "threading.Thread", "start the thread inside the function"),
        (threading.Event, "threading.Event", "make it inside the function"),
        (generator, "generator", "pass a list of its items"),
        (lambda: sys._getframe(), "frame", "format_stack"),
    ],
    ids=["lock", "rlock", "thread", "event", "generator", "frame"],
)
def test_the_usual_ones_get_a_way_out(make, name, way_out):
    text = refused(print, make())

    assert name in text
    assert way_out in text
    assert "argument 1 of 'print'" in text


def test_a_socket_is_named_with_its_place_and_a_way_out():
    with socket.socket() as unbound:
        text = refused(print, 1, to={"addresses": [unbound]})

    assert text == (
        f"socket.socket object {unbound_text(text)} cannot be sent to another process\n"
        "  it is the item 0,\n"
        "    in the item 'addresses',\n"
        "    in argument to= of 'print'\n"
        "  way out: make it inside the function, or pass its address"
    )


def unbound_text(text):
    return text[text.index("<") : text.index(">") + 1]


def test_open_files_are_refused_and_standard_streams_mean_those_of_the_other_process(tmp_path):
    (tmp_path / "file").write_text("text")
    with open(tmp_path / "file") as text_file, open(tmp_path / "file", "rb") as binary_file:
        for file in (text_file, binary_file):
            assert "open it inside the function, or pass its path" in refused(print, file)
    script = (
        "import sys; from actors.pickling import *; assert loads(dumps(sys.stdout)) is sys.stdout"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_global_is_named_with_the_functions_on_the_way():
    text = refused(uses_it_deep)

    assert "the global 'LOCK' of uses_the_lock()" in text
    assert "in the global 'uses_the_lock' of uses_it_deep()" in text
    assert "in the function 'uses_it_deep'" in text


def test_a_closure_variable_is_named():
    lock = threading.Lock()

    def inner():
        return lock

    assert "the closure variable 'lock' of " in refused(lambda: inner())
    assert "test_a_closure_variable_is_named.<locals>.inner()" in refused(inner)


def test_defaults_and_attributes_of_functions_classes_and_partials_are_named():
    lock = threading.Lock()

    def with_default(a=lock):
        return a

    def with_keyword(*, b=lock):
        return b

    class WithAttribute:
        shared = lock

    assert "a default of " in refused(with_default)
    assert "the default of 'b' of " in refused(with_keyword)
    assert "the attribute 'shared' of " in refused(WithAttribute)
    assert "argument 2 of the partial" in refused(functools.partial(print, 1, lock))
    assert "the attribute 'content' of a Holder" in refused(Holder(lock).method)
    assert "in the object of the method 'method'" in refused(Holder(lock).method)
    assert "in the attribute 'content' of a Holder" in refused(print, Holder([Holder(lock)]))


def test_cycles_end():
    holder = Holder(None)
    holder.content = [holder, threading.Lock()]

    assert "the item 1" in refused(print, holder)


def test_errors_of_user_code_are_told():
    text = refused(print, ReduceRaises())

    assert "<its repr() raises RuntimeError>" in text
    assert "because: RuntimeError: never" in text


def test_what_is_too_deep_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    assert "recursion" in refused(print, deep)


def test_a_result_is_named_too():
    with pytest.raises(TravelError, match=r"the item 'lock',\n    in the value"):
        dumps({"lock": threading.Lock()})


# --- the short way and the long way ------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        (os.path.join, ("a", 1, None), {"b": [b"x", (1.5,)]}),
        (len, ("abc",), {}),
        (str, (), {}),
        (ipaddress.IPv4Address, ("10.0.0.1",), {}),
        "text",
        [1, 2, (3,)],
    ],
    ids=["function", "builtin", "class", "other class", "text", "list"],
)
def test_the_short_way_gives_what_the_long_way_gives(value):
    assert loads(dumps(value)) == loads(pickled(value)) == value


def test_a_function_inside_a_library_that_no_name_leads_to_travels(call):
    scan = json.scanner.py_make_scanner(json.JSONDecoder())

    assert call(scan, "[12]", 0) == ([12], 4)


@pytest.mark.parametrize(
    "value",
    [
        (os.path.join, (add,), {}),
        (print, (), {"k": [Colour.RED]}),
        (print, ([[[[add]]]],), {}),
        (Holder, (), {}),
        [Slotted],
    ],
    ids=["function", "member", "deep", "class", "list"],
)
def test_nothing_of_a_test_module_goes_by_name(value):
    named = b"\x8c" + bytes([len(__name__)]) + __name__.encode() + b"\x94\x8c"

    assert named in pickle.dumps(value, 5)
    stream = io.BytesIO()
    Pickler(stream, protocol=5).dump(value)
    assert b"".join(dumps(value)) == stream.getvalue()
