"""How this program is called, for lines that somebody pastes into another terminal."""

import shlex
import shutil
import sys
from pathlib import Path

NAME = "stibgate"


def program() -> str:
    """Return the program's name where PATH leads to it, else its path: a virtual environment need not be active."""
    called = Path(sys.argv[0])
    found = shutil.which(NAME)
    if called.name != NAME or (found is not None and called.exists() and Path(found).samefile(called)):
        return NAME
    return shlex.quote(str(called.absolute()))
