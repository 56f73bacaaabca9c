"""The console: pages for people on the admin listener, plain HTML that works without JavaScript.

`console.py` is the door, `session.py` and `security.py` its locks, every other file a room.
"""

from stibgate.web.console.console import Console
from stibgate.web.console.page import ConsoleParts

__all__ = ["Console", "ConsoleParts"]
