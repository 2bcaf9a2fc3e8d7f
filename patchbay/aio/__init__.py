"""The lab for asyncio code: the same names, awaited. See `patchbay.aio.lab`."""

from patchbay.aio.capture import AsyncCapture
from patchbay.aio.iface import AsyncIface
from patchbay.aio.lab import AsyncLab
from patchbay.aio.link_recording import AsyncLinkRecording
from patchbay.aio.nodes import AsyncDevice, AsyncIx, AsyncNode, AsyncRouter
from patchbay.aio.partitions import AsyncPartition
from patchbay.aio.process import AsyncProcess
from patchbay.aio.reflector import AsyncReflector
from patchbay.aio.regions import AsyncRegion
from patchbay.aio.stun_server import AsyncStunServer

__all__ = [
    "AsyncCapture",
    "AsyncDevice",
    "AsyncIface",
    "AsyncIx",
    "AsyncLab",
    "AsyncLinkRecording",
    "AsyncNode",
    "AsyncPartition",
    "AsyncProcess",
    "AsyncReflector",
    "AsyncRegion",
    "AsyncRouter",
    "AsyncStunServer",
]
