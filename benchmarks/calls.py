"""One call into another process: ours, the floor, and others who do such things."""

import contextlib
import importlib.util
import multiprocessing.managers
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import cloudpickle
import msgpack
import zmq

from benchmarks.report import Row, in_turn
from patchbay import Lab

ROUNDS, BATCH = 12, 100


def plus_one(value: int) -> int:
    return value + 1


class Floor:
    """DEALER to ROUTER over ipc, msgpack envelope, pickled function, blocking at both ends."""

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp()
        path = f"ipc://{self._directory}/s"
        self._server = os.fork()
        if not self._server:
            self._serve(path)
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.connect(path)

    @staticmethod
    def _serve(path: str) -> None:
        router = zmq.Context().socket(zmq.ROUTER)
        router.bind(path)
        while True:
            identity, body = router.recv_multipart()
            message = msgpack.unpackb(body)
            function, arguments, keywords = cloudpickle.loads(message["c"])
            answer = cloudpickle.dumps(function(*arguments, **keywords))
            router.send_multipart([identity, msgpack.packb({"i": message["i"], "r": answer})])

    def call(self, function: Callable[..., object], *arguments: object) -> object:
        body = cloudpickle.dumps((function, arguments, {}))
        self._dealer.send(msgpack.packb({"i": 1, "c": body}))
        return cloudpickle.loads(msgpack.unpackb(self._dealer.recv())["r"])

    def close(self) -> None:
        os.kill(self._server, signal.SIGKILL)
        os.waitpid(self._server, 0)
        self._dealer.close()
        self._context.term()
        shutil.rmtree(self._directory)


class Manager(multiprocessing.managers.BaseManager):
    """Serves `plus_one` the way `multiprocessing` does."""


Manager.register("plus_one", plus_one)


def run() -> list[Row]:
    by_value = cloudpickle.loads(cloudpickle.dumps(lambda value: value + 1))
    floor = Floor()
    try:
        with Lab("calls") as lab, peers() as others:
            node = lab.ix

            def open_socket() -> None:
                node.socket().close()

            times = in_turn(
                {
                    "ours": lambda: node.call(by_value, 1),
                    "floor": lambda: floor.call(by_value, 1),
                    "ours, importable": lambda: node.call(os.getpid),
                    "floor, importable": lambda: floor.call(os.getpid),
                    "socket": open_socket,
                    **others,
                },
                rounds=ROUNDS,
                batch=BATCH,
            )
    finally:
        floor.close()
    rows = [
        Row("call, function by value", times["ours"], "us", times["floor"], 2.0, True),
        Row(
            "call, importable function",
            times["ours, importable"],
            "us",
            times["floor, importable"],
            2.0,
            True,
        ),
        Row("socket(), against call", times["socket"], "us", times["ours"], 2.0, True),
    ]
    return rows + [
        Row(f"  beside it: {name}", times[name], "us", times["floor"]) for name in others
    ]


@contextlib.contextmanager
def peers() -> Iterator[dict[str, Callable[[], object]]]:
    """Others that are installed, each as a call of the same function."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Callable[[], object]] = {}
        pool = stack.enter_context(
            ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        )
        found["ProcessPoolExecutor"] = lambda: pool.submit(plus_one, 1).result()
        manager = stack.enter_context(Manager(ctx=multiprocessing.get_context("spawn")))
        served: Callable[[int], object] = manager.plus_one  # type: ignore[attr-defined]
        found["multiprocessing.managers"] = lambda: served(1)
        if importlib.util.find_spec("execnet"):
            found["execnet"] = _execnet(stack)
        if importlib.util.find_spec("rpyc"):
            found["rpyc"] = _rpyc(stack)
        if importlib.util.find_spec("ray"):
            found["ray"] = _ray(stack)
        yield found


def _execnet(stack: contextlib.ExitStack) -> Callable[[], object]:
    import execnet

    group = execnet.Group()
    stack.callback(group.terminate, timeout=1.0)
    channel = group.makegateway("popen").remote_exec(
        "while True: channel.send(channel.receive() + 1)"
    )

    def call() -> object:
        channel.send(1)
        return channel.receive()

    return call


def _rpyc(stack: contextlib.ExitStack) -> Callable[[], object]:
    import rpyc
    from rpyc.utils.factory import connect_subproc

    serve = (
        "import rpyc.utils.factory as f, rpyc; f.connect_stdpipes(rpyc.SlaveService).serve_all()"
    )
    connection = connect_subproc([sys.executable, "-c", serve], rpyc.SlaveService)
    stack.callback(connection.close)
    function = connection.root.eval("lambda value: value + 1")
    return lambda: function(1)


def _ray(stack: contextlib.ExitStack) -> Callable[[], object]:
    import ray

    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
    stack.callback(ray.shutdown)

    @ray.remote
    class Actor:
        def plus_one(self, value: int) -> int:
            return value + 1

    actor = Actor.remote()
    return lambda: ray.get(actor.plus_one.remote(1))
