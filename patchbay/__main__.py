"""`python -m patchbay`: the same as the command `patchbay`."""

import sys

from patchbay.cli import main

if __name__ == "__main__":
    sys.exit(main())
