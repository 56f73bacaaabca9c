"""The keys of a webhook: what is taken, what is refused, and what never shows."""

import base64

import pytest
from pydantic import ValidationError

from tests.sinks.webhook.world import OLD_SECRET, SECRET, make_settings

URL = "https://hooks.example.com/in"


@pytest.mark.parametrize(
    "url",
    [
        "https://user@hooks.example.com/",
        "https://user:pass@hooks.example.com/",
        "https://@hooks.example.com/",
        "https://good.example\\@evil.example/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https:///in",
        "https:",
        "elsewhere.example.com",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nx: y",
        "https://[fe80::1%25lo]/",
        "https://[::1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.0x1/",
        "https://127.0.0.1./",
        "",
        "https://hooks.example.com/" + "a" * 3000,
    ],
)
def test_this_url_is_refused(url):
    """A URL that two readers could read in two ways, or that says too much, is refused with the way out."""
    with pytest.raises(ValidationError) as caught:
        make_settings(url)
    (error,) = caught.value.errors()
    assert error["loc"] == ("url",)
    assert len(url) < 10 or url not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://hooks.example.com:8443/a%2Fb?x=1",
        "https://bücher.example/",
        "https://203.0.113.7/",
        "https://[2001:db8::1]/",
        "https://hooks.example.com",
        "https://hooks.example.com/a@b",
    ],
)
def test_this_url_is_taken(url):
    """Ordinary https URLs are taken as they are."""
    assert make_settings(url, allow_private=False).url == url


def test_plain_http_is_for_private_networks():
    """http:// needs allow_private = true."""
    assert make_settings("http://crm.internal/in").url
    with pytest.raises(ValidationError, match="allow_private = true"):
        make_settings("http://crm.internal/in", allow_private=False)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        [],
        "whsec_",
        "changeme",
        "whsec_not base64 at all!!",
        "whsec_" + base64.b64encode(b"short").decode(),
        "whsec_" + base64.b64encode(b"x" * 15).decode(),
        [SECRET, ""],
        [SECRET, SECRET],
        [SECRET, SECRET + "\n"],
        [f"whsec_{base64.b64encode(bytes([n]) * 24).decode()}" for n in range(6)],
        None,
        7,
    ],
)
def test_this_secret_is_refused(secret):
    """What would sign nothing or sign weakly is refused before the first delivery, without repeating it."""
    with pytest.raises(ValidationError) as caught:
        make_settings(URL, secret=secret)
    assert caught.value.errors()[0]["loc"][0] == "secret"
    assert SECRET not in str(caught.value)


def test_one_secret_or_several():
    """A secret may stand alone or in a list; white space around it is not part of it."""
    assert make_settings(URL, secret=SECRET).receiver().secrets == [SECRET]
    assert make_settings(URL, secret=[SECRET + "\n", OLD_SECRET]).receiver().secrets == [SECRET, OLD_SECRET]


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-id": "x"},
        {"Webhook-Signature": "x"},
        {"CE-Type": "x"},
        {"Host": "x"},
        {"Content-Type": "x"},
        {"content-length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"Proxy-Authorization": "x"},
        {"a b": "x"},
        {"": "x"},
        {"x": ""},
        {"x": " y"},
        {"x": "y\r\nz: w"},
        {"x": "é"},
        {"x": "y" * 5000},
        {"x": "a", "X": "b"},
        {f"x{n}": "a" for n in range(21)},
    ],
)
def test_these_headers_are_refused(headers):
    """A header that we set, that is none, or that would break out of its line is refused."""
    with pytest.raises(ValidationError):
        make_settings(URL, headers=headers)


def test_unknown_keys_are_refused():
    """A key that a webhook does not have is a mistake."""
    with pytest.raises(ValidationError):
        make_settings(URL, max_redirects=3)


def test_no_print_shows_a_secret():
    """Neither repr nor dump of settings, receiver or sink show a secret or a header's value."""
    settings = make_settings(URL, headers={"x-api-key": "k3y-of-them"})
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.receiver())):
        assert SECRET[6:] not in text
        assert "k3y-of-them" not in text


def test_the_defaults():
    """What stands in the example file."""
    settings = make_settings(URL, allow_private=False)
    assert (settings.cloudevents, settings.allow_private, settings.headers) == (False, False, {})
    assert (settings.connect_timeout, settings.answer_timeout) == (5.0, 25.0)
    assert make_settings(URL, connect_timeout="1s", answer_timeout="2m").answer_timeout == 120
