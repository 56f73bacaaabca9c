"""The scanner finds the line of every key."""

import tomllib

import pytest

from stibgate.config.lines import key_lines

TEXT = r'''# a comment with [brackets] and key = 1

[server]   # another
bind = "x # no comment" # but this is
"odd \"key\" \u2603" = 1
limits.rate = "1/s"

[sources.jobs]
text = """
[not.a.table]
not_a_key = 1
"""
list = [
  "a", # comment ]
  { value = "b", not_after = 2026-01-01 00:00:00Z },

  [1.5, 2],
]
after = 07:32:00.999
literal = @@@+"""@@@
also = "not"
more = @@@
[neither]@@@
last = {}

[[routes]]
to = 1
[[routes]]
to = [""]
[routes.when]
x = -1e-3
'''.replace("@@@", "'''")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("server",), 3),
        (("server", "bind"), 4),
        (("server", 'odd "key" ☃'), 5),
        (("server", "limits"), 6),
        (("server", "limits", "rate"), 6),
        (("sources",), 8),
        (("sources", "jobs"), 8),
        (("sources", "jobs", "text"), 9),
        (("sources", "jobs", "list"), 13),
        (("sources", "jobs", "list", 0), 14),
        (("sources", "jobs", "list", 1, "not_after"), 15),
        (("sources", "jobs", "list", 2, 1), 17),
        (("sources", "jobs", "after"), 19),
        (("sources", "jobs", "literal"), 20),
        (("sources", "jobs", "last"), 24),
        (("routes", 0, "to"), 27),
        (("routes", 1, "to", 0), 29),
        (("routes", 1, "when", "x"), 31),
    ],
)
def test_line(path, line):
    """A key has the line where it is written, whatever stands around it."""
    assert key_lines(TEXT)[path] == line


def test_every_key_has_a_line():
    """Every value that tomllib reads has a line, and nothing else has one."""

    def paths(value, path):
        if path:
            yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, below in items:
            yield from paths(below, (*path, key))

    assert set(key_lines(TEXT)) == set(paths(tomllib.loads(TEXT), ()))


@pytest.mark.parametrize("text", ["", "\n", "#", "a=1", "a = [\n]", "a = ''", "a = '''x''''", 'a = """x"""""'])
def test_edges(text):
    """Short files are read without complaint."""
    assert set(key_lines(text)) == {(key,) for key in tomllib.loads(text)}
