"""The client of The Hog: what a people search may cost, before anything is paid.

    async with TheHogClient(base_url, SecretStr("ak_..."), SecretStr("sk_..."), means=means) as hog:
        estimate = await hog.estimate(PeopleSearch("VP Engineering at B2B SaaS companies", limit=10))

An estimate is free and changes nothing, so it is asked for again whenever that may help, and no error of it leaves a
doubt about money. Source: The Hog, "Estimate people search".
"""

import json
from decimal import Decimal
from typing import Any, Self

from pydantic import SecretStr

from stibgate.errors import UsageError, VendorError
from stibgate.vendors.answers import read_json, shaped
from stibgate.vendors.http import Answer, Call, Http, Repeat
from stibgate.vendors.retry import Means, Patience, send
from stibgate.vendors.thehog.models import Estimate
from stibgate.vendors.thehog.requests import PeopleSearch

ESTIMATE = "/api/v1/people/search/estimate"
ANSWER_MAX_BYTES = 1024 * 1024
_KEYS_HINT = "Copy both keys from The Hog's Credentials page: ak_... is the access key, sk_... the secret key."
_HINTS = {
    401: f"[thehog] access_key and secret_key do not open the account. {_KEYS_HINT}",
    403: "The Hog knows the keys but does not let them estimate people searches.",
    402: "The account has no credits left for this; nothing was charged.",
}


class TheHogClient:
    """One account at The Hog; an async context manager.

    Args:
        base_url: https, or http on loopback.
        access_key: The public key, `ak_...`.
        secret_key: Its secret, `sk_...`.
        means: Clock, sleep and jitter.
        patience: How long one call is tried.
        timeout_s: For one exchange.

    Raises:
        UsageError: *base_url* or a key cannot be used; the message shows none of them.
    """

    def __init__(
        self,
        base_url: str,
        access_key: SecretStr,
        secret_key: SecretStr,
        *,
        means: Means,
        patience: Patience | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._http = Http(base_url, timeout_s=timeout_s)
        self._access_key = _checked("access_key", access_key, not_like="sk_")
        self._secret_key = _checked("secret_key", secret_key, not_like="ak_")
        self._means = means
        self._patience = patience or Patience()

    async def __aenter__(self) -> Self:
        """Make ready; nothing is sent yet."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of the connections."""
        await self._http.__aexit__()

    async def estimate(self, search: PeopleSearch) -> Estimate:
        """Return what *search* may cost at most. Free.

        Raises:
            VendorError: There is no documented answer, after all tries.
        """
        call = self._call(search)
        try:
            answer = await send(self._http, call, means=self._means, patience=self._patience)
            return shaped(call, _unwrapped(_read(call, answer)), Estimate)
        except VendorError as error:
            error.maybe_done = False  # there is nothing that it could have done
            raise

    def _call(self, search: PeopleSearch) -> Call:
        keys = (self._access_key.get_secret_value(), self._secret_key.get_secret_value())
        return Call(
            "POST",
            ESTIMATE,
            ESTIMATE,
            headers={"X-Access-Key": keys[0], "X-Secret-Key": keys[1]},
            body=search.body(),
            private=(*keys, *search.private),
            hints=_HINTS,
            repeat=Repeat.FREELY,
            answer_max_bytes=ANSWER_MAX_BYTES,
        )


def _checked(name: str, key: SecretStr, *, not_like: str) -> SecretStr:
    """Return *key* if it can stand in a header and is not the other one.

    Raises:
        UsageError: It is not; the message does not show it.
    """
    text = key.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"{name} must be printable ASCII without spaces", hint=_KEYS_HINT)
    if text.startswith(not_like):
        raise UsageError(f"{name} begins with {not_like}: the two keys are swapped", hint=_KEYS_HINT)
    return key


def _read(call: Call, answer: Answer) -> Any:
    """Return the JSON value of a 2xx with its fractions as `Decimal`.

    Raises:
        VendorMisbehaved: It is not JSON.
    """
    read_json(call, answer)  # refuses what is no JSON, in the words of all clients
    return json.loads(answer.body, parse_float=Decimal)


def _unwrapped(value: Any) -> Any:
    """Return the estimate, which the older generation of the API puts under `data`, with what stands beside it."""
    inner = value.get("data") if isinstance(value, dict) and "estimatedCredits" not in value else None
    return (
        {**{name: each for name, each in value.items() if name != "data"}, **inner}
        if isinstance(inner, dict)
        else value
    )
