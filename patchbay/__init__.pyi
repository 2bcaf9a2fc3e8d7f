from patchbay.exports import *  # noqa: F403
from patchbay.exports import __all__ as __all__
from patchbay.exports import __version__ as __version__
