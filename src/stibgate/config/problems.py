"""What is wrong with a configuration, in the words of its reader.

Pydantic names a field by its own path, with a union's tag in it, and says what its types expect. Here each
error gets the place where the value was written, the key as it was written, and what is allowed in plain words.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from stibgate.config import shape
from stibgate.config.kinds import WRONG_KIND
from stibgate.config.layers import Layer, Place
from stibgate.config.lines import KeyPath
from stibgate.config.masks import seen
from stibgate.errors import Problem

_Context = Mapping[str, Any]

_WORDS: dict[str, str] = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": 'must be a list, for example ["a", "b"]',
    "tuple_type": 'must be a list, for example ["a", "b"]',
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "path_type": "must be a path, as text in quotes",
}
_WORDS_WITH_LIMIT: dict[str, Callable[[_Context], str]] = {
    "literal_error": lambda context: f"must be {context['expected']}",
    "enum": lambda context: f"must be {context['expected']}",
    "union_tag_invalid": lambda context: f"must be one of {context['expected_tags']}",
    "greater_than": lambda context: f"must be above {context['gt']}",
    "greater_than_equal": lambda context: f"must be {context['ge']} or more",
    "less_than": lambda context: f"must be below {context['lt']}",
    "less_than_equal": lambda context: f"must be {context['le']} or less",
    "too_short": lambda context: f"must have {context['min_length']} or more items",
    "too_long": lambda context: f"must have {context['max_length']} or fewer items",
    "string_too_short": lambda context: f"must have {context['min_length']} or more characters",
    "string_too_long": lambda context: f"must have {context['max_length']} or fewer characters",
    "string_pattern_mismatch": lambda context: f"must match {context['pattern']}",
    "value_error": lambda context: str(context["error"]),
    "assertion_error": lambda context: str(context["error"]),
}


class Reporter:
    """Collects problems, each with the place of the value that it is about.

    Args:
        tree: The merged values.
        layers: Where they come from, the strongest first.
    """

    def __init__(self, tree: Mapping[str, Any], layers: Sequence[Layer]) -> None:
        self._tree = tree
        self._layers = layers
        self._names = shape.names_in(tree)
        self._found: dict[tuple[str, str, str], tuple[int, Problem]] = {}

    def add(self, path: KeyPath, allowed: str, *, show: bool = True) -> None:
        """Note that the value at *path*, or that nothing is there, is not *allowed*.

        Args:
            path: Key path in the merged tree, the key that is missing included.
            allowed: What is allowed, in words.
            show: Whether the value is shown; masked where it may be a secret.
        """
        place = self._place(path)
        there, value = _look(self._tree, path)
        self.note(
            Problem(
                place.where,
                place.name or shape.dotted(path),
                seen(value, secret=shape.is_secret(path, self._names)) if there and show else "",
                allowed,
            ),
            line=place.line,
        )

    def note(self, problem: Problem, *, line: int = 0) -> None:
        """Take *problem* as it is; the same one twice is one."""
        # Unlined problems (environment, credentials) come after those of the file.
        order = line or 1 << 30
        key = (problem.where, problem.path, problem.allowed)
        self._found.setdefault(key, (order, problem))

    def translate(self, error: ErrorDetails) -> None:
        """Add what pydantic found."""
        kind, location = error["type"], error["loc"]
        path = self._without_tags(location)
        if kind == "extra_forbidden":
            self.add(path, self._unknown_key(path), show=False)
        elif kind in {"missing", "union_tag_not_found"}:
            key = str(location[-1]) if kind == "missing" else "kind"
            self.add((*path, key), self._required((*path, key)))
        elif kind == WRONG_KIND:
            self.add((*path, "kind"), error["ctx"]["words"])
        elif kind in {"string_type", "secret_type"} and shape.is_secret(path, self._names):
            self.add(path, "must be text in quotes")
        else:
            self.add(path, self._without_value(_words(error), path))

    def problems(self) -> list[Problem]:
        """Return all problems, in the order of the file's lines, then the others."""
        return [problem for _, problem in sorted(self._found.values(), key=lambda entry: entry[0])]

    def _without_tags(self, location: Sequence[str | int]) -> KeyPath:
        """Return the part of *location* that exists in the tree: pydantic adds tags that nobody wrote."""
        path: KeyPath = ()
        for part in location:
            if _look(self._tree, (*path, part))[0]:
                path = (*path, part)
        return path

    def _unknown_key(self, path: KeyPath) -> str:
        known = shape.known_keys(path[:-1], self._names)
        guess = shape.closest(str(path[-1]), known)
        if guess:
            return f"no such key; did you mean {guess}?"
        return f"no such key; there are {', '.join(known)}" if known else "no such key"

    def _required(self, path: KeyPath) -> str:
        words = shape.choices(path, self._names)
        return f"is required: {' or '.join(repr(word) for word in words)}" if words else "is required"

    def _without_value(self, words: str, path: KeyPath) -> str:
        """Return *words*, unless a sink from elsewhere put the secret into them that they are about."""
        value = _look(self._tree, path)[1]
        told = isinstance(value, str) and value and value in words and shape.is_secret(path, self._names)
        return "is not allowed" if told else words

    def _place(self, path: KeyPath) -> Place:
        for layer in self._layers:
            if _look(layer.tree, path)[0]:
                return _nearest(layer, path)
        # Something is missing: the table where it belongs, most likely in the file.
        for length in range(len(path) - 1, 0, -1):
            for layer in reversed(self._layers):
                if _look(layer.tree, path[:length])[0]:
                    place = _nearest(layer, path[:length])
                    return place if place.line else Place(place.where)
        return Place(self._layers[-1].where)


def _nearest(layer: Layer, path: KeyPath) -> Place:
    for length in range(len(path), 0, -1):
        place = layer.places.get(path[:length])
        if place is not None:
            return place
    return Place(layer.where)


def _look(tree: object, path: KeyPath) -> tuple[bool, object]:
    """Return whether there is a value at *path*, and the value."""
    value: Any = tree
    for part in path:
        if not isinstance(value, Mapping | list | tuple):
            return False, None
        try:
            value = value[part]  # type: ignore[index]  # a key of a table, an index of a list, or the except
        except (LookupError, TypeError):
            return False, None
    return True, value


def _words(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _WORDS_WITH_LIMIT:
        return _WORDS_WITH_LIMIT[kind](error.get("ctx", {}))
    return error["msg"].replace("Input should be", "must be").replace("Value error, ", "")
