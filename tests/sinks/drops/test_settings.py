"""The keys of a drop."""

import pytest
from pydantic import ValidationError

from stibgate.domain.record import COLUMNS, FIELDS
from stibgate.sinks.drops import DropSettings, DropSink


def test_defaults(tmp_path):
    """Only `kind` and `dir` must be given."""
    settings = DropSettings.model_validate({"kind": "csv", "dir": str(tmp_path)})
    assert settings.layout == "per_delivery"
    assert settings.columns == COLUMNS
    assert (settings.formula_guard, settings.bom, settings.gzip) == (True, False, False)
    assert (settings.rotate_rows, settings.rotate_after) == (10_000, 900)


def test_an_unknown_column_is_refused_with_the_allowed_ones(tmp_path):
    """An unknown column is refused by name, beside every name that is allowed."""
    with pytest.raises(ValidationError) as caught:
        DropSettings.model_validate({"kind": "csv", "dir": tmp_path, "columns": ["person_id", "email"]})
    assert "'email'" in str(caught.value)
    assert all(name in str(caught.value) for name in FIELDS)


@pytest.mark.parametrize(
    "keys",
    [
        {"columns": []},
        {"columns": ["person_id", "person_id"]},
        {"rotate_rows": 0},
        {"rotate_after": "0s"},
        {"rotate_after": 900},
        {"layout": "daily"},
        {"kind": "xlsx"},
        {"kind": "ndjson", "bom": True},
        {"folder": "x"},
    ],
)
def test_refused(tmp_path, keys):
    """What a drop cannot do is refused when the configuration is read."""
    with pytest.raises(ValidationError):
        DropSettings.model_validate({"kind": "csv", "dir": tmp_path, **keys})


def test_build_touches_nothing(tmp_path):
    """Building a sink makes no folder; `open` does."""
    settings = DropSettings.model_validate({"kind": "csv", "dir": tmp_path / "a" / "b", "rotate_after": "1h"})
    assert isinstance(settings.build("drop", now_ms=lambda: 0), DropSink)
    assert not list(tmp_path.iterdir())
