"""Build the documentation as HTML; a warning is an error.

python docs/build.py [DIRECTORY]
"""

import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent


def main(target: str) -> int:
    """Build into a directory; return the exit status."""
    with tempfile.TemporaryDirectory() as cache:
        status = build_main(
            ["-q", "-W", "--keep-going", "-b", "html", "-d", cache, str(HERE), target]
        )
    if status == 0:
        print(f"{target}/index.html")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else str(HERE / "_site")))
