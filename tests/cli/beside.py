"""A command line in this process, as the shell runs it, beside servers and stores of the test."""

import asyncio
import json
import sys
from dataclasses import dataclass

import pytest

from stibgate.cli import main


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self):
        """Standard output as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self):
        """The only JSON object of standard output."""
        (only,) = self.objects
        return only

    @property
    def all(self):
        return self.out + self.err


class Line:
    """Runs command lines, one at a time."""

    def __init__(self, monkeypatch, capsys):
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    async def __call__(self, *words):
        """Run one in a thread of its own, so that servers of this loop can answer it."""
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["stibgate", *map(str, words)])
        code = await asyncio.to_thread(self._once)
        said = self._capsys.readouterr()
        return Ran(code, said.out, said.err)

    def _once(self):
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code
