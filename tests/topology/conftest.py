"""The tests of the topology share a pure kernel and ways to make topologies."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
