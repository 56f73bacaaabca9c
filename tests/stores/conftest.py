"""Lets the tests of the stores import what they share as `tests.stores.*`."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).parents[2])
if _ROOT not in sys.path:  # pytest's importlib mode leaves sys.path alone
    sys.path.insert(0, _ROOT)
