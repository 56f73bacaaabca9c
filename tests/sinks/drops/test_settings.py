"""The keys of a drop."""

import sys

import pytest
from pydantic import ValidationError

from stibgate.domain.record import COLUMNS, FIELDS
from stibgate.sinks.drops import DropSettings, DropSink, ObjectSink
from stibgate.testing import make_context


def test_defaults(tmp_path):
    """Only `kind` and `dir`, or `url`, must be given."""
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
    assert isinstance(settings.build(make_context()), DropSink)
    assert not list(tmp_path.iterdir())


SECRET = "a-secret-of-nobody"
S3 = {"region": "eu-north-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}


@pytest.mark.parametrize(
    ("url", "storage"),
    [
        ("s3://people", S3),
        ("s3://people/", {}),
        ("s3://people/drops/year=2026/", {"server_side_encryption": "aws:kms", **S3}),
        ("s3://people", {"endpoint": "http://127.0.0.1:9000", **S3}),
        ("s3://people", {"endpoint": "http://[::1]:9000"}),
        ("s3://people", {"endpoint": "http://minio:9000", "allow_http": True}),
        ("gs://people/drops", {"endpoint": "https://storage.example.com"}),
        ("az://people/drops", {"account_name": "account", "account_key": "ZmFrZQ=="}),
    ],
)
def test_places_for_objects(url, storage):
    """A bucket and a prefix make a sink, without the network."""
    settings = DropSettings.model_validate({"kind": "csv", "url": url, "storage": storage})
    assert settings.folder is None
    assert isinstance(settings.build(make_context()), ObjectSink)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "set `dir`, or `url`"),
        ({"url": "s3://people", "dir": "/srv/drops"}, "either `dir` or `url`"),
        ({"url": "s3://people", "layout": "rolling"}, "an object cannot grow"),
        ({"url": "people"}, "must be s3://"),
        ({"url": "https://people.example.com"}, "must be s3://"),
        ({"url": "s3://"}, "must be s3://"),
        ({"url": "s3://user:pass@people/x"}, "must be s3://"),
        ({"url": "s3://people/a//b"}, "must be s3://"),
        ({"url": "s3://people/../other"}, "must be s3://"),
        ({"url": "s3://people/a?versionId=1"}, "must be s3://"),
        ({"url": "s3://people/a%2Fb"}, "must be s3://"),
        ({"url": "file://host/srv"}, "must be file:///"),
        ({"url": "file:///"}, "must be file:///"),
        ({"url": "file:srv"}, "must be file:///"),
        ({"url": "file:///srv", "storage": S3}, "storage is for objects"),
        ({"dir": "/srv", "storage": {"allow_http": True}}, "storage is for objects"),
        ({"url": "s3://people", "storage": {"account_key": "x"}}, "s3:// has no storage.account_key"),
        ({"url": "gs://people", "storage": {"region": "x"}}, "gs:// has no storage.region"),
        ({"url": "gs://people", "storage": {"service_account_key": SECRET}}, "refuses [storage]"),
        ({"url": "az://people"}, "storage.account_name"),
        ({"url": "s3://people", "storage": {"access_key_id": "AKIDEXAMPLE"}}, "needs storage.secret_access_key"),
        ({"url": "s3://people", "storage": {"secret_access_key": SECRET}}, "needs storage.access_key_id"),
        ({"url": "s3://people", "storage": {"endpoint": "http://minio:9000"}}, "must be https"),
        ({"url": "s3://people", "storage": {"endpoint": "http://127.0.0.1.example.com"}}, "must be https"),
        ({"url": "s3://people", "storage": {"endpoint": "minio:9000"}}, "must be an address"),
        ({"url": "s3://people", "storage": {"endpoint": f"https://user:{SECRET}@minio"}}, "must be an address"),
        ({"url": "s3://people", "storage": {"endpoint": "https://[minio"}}, "must be an address"),
        ({"url": "s3://people", "storage": {"timeout": "0s"}}, "longer than zero"),
        ({"url": "s3://people", "storage": {"secret": "x"}}, "Extra inputs"),
    ],
)
def test_places_that_are_refused(monkeypatch, keys, words):
    """A place that cannot work is refused when the configuration is read, in words, and no secret is quoted."""
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValidationError) as caught:
        DropSettings.model_validate({"kind": "csv", **keys})
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_missing_place_is_named_by_its_key():
    """Without any place the key that is missing is `dir`."""
    with pytest.raises(ValidationError) as caught:
        DropSettings.model_validate({"kind": "csv"})
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("missing", ("dir",))]


def test_the_extra_is_missing(monkeypatch):
    """Without obstore a bucket is refused with the command that installs it; a folder needs nothing."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ValidationError, match=r"pip install 'stibgate\[s3\]'"):
        DropSettings.model_validate({"kind": "csv", "url": "s3://people"})
    DropSettings.model_validate({"kind": "csv", "url": "file:///srv/drops"}).build(make_context())


def test_a_file_url_is_a_folder(tmp_path):
    """`file:///FOLDER` is the same sink as `dir`, whose files are synced."""
    settings = DropSettings.model_validate({"kind": "csv", "url": (tmp_path / "a b").as_uri(), "layout": "rolling"})
    assert settings.folder == tmp_path / "a b"
    assert isinstance(settings.build(make_context()), DropSink)


def test_secrets_stay_secret():
    """No dump and no repr of the settings shows a secret."""
    storage = {"session_token": SECRET, **S3}
    settings = DropSettings.model_validate({"kind": "csv", "url": "s3://people", "storage": storage})
    assert SECRET not in settings.model_dump_json() + repr(settings) + str(settings.model_dump())
