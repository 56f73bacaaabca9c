"""On which line each key of a TOML text stands.

`tomllib` says what a file holds, not where. This scanner says where, and leaves what to `tomllib`: it is run
only on text that `tomllib` has read without complaint, so it need not judge, only count.
"""

import re
from typing import NamedTuple

KeyPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r'''
      (?P<skip>[ \t\r\n]+|\#[^\n]*)
    | (?P<string>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*')
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+)
    ''',
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


class _Token(NamedTuple):
    text: str
    line: int


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, of every table, key and list item of *text*, which must be valid TOML.

    A table that only exists through its children has the line of the first of them.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._array_tables: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._at < len(self._tokens):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _header(self) -> KeyPath:
        line = self._take().line
        repeated = self._peek() == "["
        if repeated:
            self._take()
        path = self._inside_array_tables(self._key())
        self._take()
        if repeated:
            self._take()
            index = self._array_tables.get(path, -1) + 1
            self._array_tables[path] = index
            self._note(path, line)
            path = (*path, index)
        self._note(path, line)
        return path

    def _inside_array_tables(self, path: KeyPath) -> KeyPath:
        """Return *path* with the current index after each `[[table]]` that it passes through."""
        result: KeyPath = ()
        for position, part in enumerate(path):
            result = (*result, part)
            if position < len(path) - 1 and result in self._array_tables:
                result = (*result, self._array_tables[result])
        return result

    def _key(self) -> KeyPath:
        parts = [_key_part(self._take().text)]
        while self._peek() == ".":
            self._take()
            parts.append(_key_part(self._take().text))
        return tuple(parts)

    def _pair(self, table: KeyPath) -> None:
        line = self._tokens[self._at].line
        path = (*table, *self._key())
        self._note(path, line)
        self._take()
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening = self._take().text
        if opening == "[":
            index = 0
            while self._peek() != "]":
                self._note((*path, index), self._tokens[self._at].line)
                self._value((*path, index))
                index += 1
                self._skip_comma()
            self._take()
        elif opening == "{":
            while self._peek() != "}":
                self._pair(path)
                self._skip_comma()
            self._take()
        else:
            self._rest_of_scalar()

    def _rest_of_scalar(self) -> None:
        # 1.5 and 07:32:00.999 hold a dot; "1979-05-27 07:32:00" a space.
        while self._at < len(self._tokens) and self._tokens[self._at].line == self._tokens[self._at - 1].line:
            if self._peek() in {",", "]", "}"}:
                return
            self._take()

    def _skip_comma(self) -> None:
        if self._peek() == ",":
            self._take()

    def _note(self, path: KeyPath, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    line, at = 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            break
        if match.lastgroup != "skip":
            tokens.append(_Token(match[0], line))
        line += match[0].count("\n")
        at = match.end()
    return tokens


def _key_part(token: str) -> str:
    if token.startswith("'"):
        return token[1:-1]
    if token.startswith('"'):
        return _ESCAPE.sub(_unescape, token[1:-1])
    return token


def _unescape(match: re.Match[str]) -> str:
    if match[3] is not None:
        return _ESCAPED.get(match[3], match[3])
    return chr(int(match[1] or match[2], 16))
