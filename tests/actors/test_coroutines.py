"""Coroutine objects, taken apart into a function and its arguments."""

import asyncio
import functools
import gc
import warnings

import pytest

from actors.coroutines import take_apart

OFFSET = 100


async def plain(a, b=2, /, c=3, *rest, d, e=5, **others):
    return (a, b, c, rest, d, e, others, OFFSET)


async def with_cells(a, *rest, key=None):
    def inner():
        return (a, rest, key)

    return inner()


class Base:
    async def greet(self):
        return f"base {self.name}"


class Greeter(Base):
    name = "greeter"

    async def greet(self, *, loud=False):
        return (await super().greet(), loud)

    @staticmethod
    async def still(x):
        return x

    @classmethod
    async def of_class(cls, x):
        return (cls.__name__, x)


def run_apart(coroutine):
    function, arguments, keywords = take_apart(coroutine)
    return asyncio.run(function(*arguments, **keywords))


def test_every_kind_of_parameter_is_found():
    function, arguments, keywords = take_apart(plain(1, 2, 3, 4, 5, d=6, f=7))

    assert function is plain
    assert arguments == (1, 2, 3, 4, 5)
    assert keywords == {"d": 6, "e": 5, "f": 7}
    assert asyncio.run(plain(*arguments, **keywords)) == (1, 2, 3, (4, 5), 6, 5, {"f": 7}, 100)


def test_defaults_are_bound():
    assert run_apart(plain(1, d=0)) == (1, 2, 3, (), 0, 5, {}, 100)


def test_arguments_are_the_very_objects():
    thing = object()

    assert take_apart(plain(thing, d=0))[1][0] is thing


def test_arguments_that_an_inner_function_uses():
    assert run_apart(with_cells(1, 2, key=3)) == (1, (2,), 3)


def test_a_closure_is_rebuilt():
    factor, counts = 3, []

    async def multiply(x):
        counts.append(x)
        return factor * x

    assert run_apart(multiply(5)) == 15
    assert counts == [5]


def test_a_closure_over_itself_and_over_a_variable_without_a_value():
    async def countdown(n):
        return [n, *(await countdown(n - 1))] if n else [later is None]

    coroutine = countdown(2)
    function, arguments, keywords = take_apart(coroutine)
    with pytest.raises(NameError):
        asyncio.run(function(*arguments, **keywords))
    later = None
    assert run_apart(countdown(2)) == [2, 1, True]


def test_methods_with_super():
    greeter = Greeter()
    function, arguments, keywords = take_apart(greeter.greet(loud=True))

    assert function is Greeter.greet
    assert arguments == (greeter,)
    assert asyncio.run(function(*arguments, **keywords)) == ("base greeter", True)


def test_a_method_of_a_local_class_with_super():
    class Local(Base):
        name = "local"

        async def greet(self):
            return await super().greet()

    assert run_apart(Local().greet()) == "base local"


def test_static_and_class_methods():
    assert run_apart(Greeter.still(1)) == 1
    assert run_apart(Greeter.of_class(2)) == ("Greeter", 2)
    assert take_apart(Greeter.still(1))[0] is Greeter.still


def doubled(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return 2 * await function(*args, **kwargs)

    return wrapper


@doubled
async def decorated(x):
    return x + 1


def test_a_decorated_function_keeps_its_decoration():
    assert run_apart(decorated(4)) == 10


def test_a_lambda_that_makes_a_coroutine():
    make = lambda x: plain(x, d=1)  # noqa: E731

    assert take_apart(make(9))[0] is plain


def test_the_coroutine_is_closed_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coroutine = plain(1, d=2)
        take_apart(coroutine)
        assert coroutine.cr_frame is None
        del coroutine
        gc.collect()


def test_a_started_and_a_finished_coroutine_are_refused_with_the_right_spelling():
    async def wait():
        await asyncio.sleep(0)

    coroutine = wait()
    coroutine.send(None)
    with pytest.raises(TypeError, match=r"has started.*spawn\(.*wait\(\.\.\.\)\)"):
        take_apart(coroutine)
    coroutine.close()
    with pytest.raises(TypeError, match="is finished"):
        take_apart(coroutine)


def test_a_task_and_a_future_are_refused_with_the_right_spelling():
    async def main():
        task = asyncio.create_task(asyncio.sleep(0))
        with pytest.raises(TypeError, match=r"spawn\(fetch\(url\)\).* not spawn\(asyncio.create_"):
            take_apart(task)
        await task
        with pytest.raises(TypeError, match="a Future belongs to the event loop"):
            take_apart(asyncio.get_running_loop().create_future())

    asyncio.run(main())


async def ticks():
    yield 1


def words():
    yield 1


class Awaitable:
    def __await__(self):
        yield


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ticks(), r"async generator.*spawn\(collect\), not spawn\(ticks\("),
        (words(), "async def"),
        (plain, r"write spawn\(plain, \.\.\.\)"),
        (print, r"write call\(print, \.\.\.\)"),
        (Awaitable(), "awaits it"),
        (3, r"not a int"),
    ],
)
def test_other_things_are_refused_with_the_right_spelling(value, words):
    with pytest.raises(TypeError, match=words):
        take_apart(value)
