"""A kernel of our own, run as an ordinary process: every feature of a lab, and virtual time."""

from patchbay.guest.build import build as build
from patchbay.guest.cache import Kernel as Kernel
from patchbay.guest.cache import best_kernel as best_kernel
from patchbay.guest.cache import kernels as kernels
from patchbay.guest.check import check as check
from patchbay.guest.check import is_guest as is_guest
from patchbay.guest.errors import BuildFailed as BuildFailed
from patchbay.guest.errors import GuestFailed as GuestFailed
from patchbay.guest.errors import GuestStuck as GuestStuck
from patchbay.guest.options import Guest as Guest
from patchbay.guest.options import TimeKind as TimeKind
from patchbay.guest.running import run as run
from patchbay.guest.usual import usual_directories as usual_directories
