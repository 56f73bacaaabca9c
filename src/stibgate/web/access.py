"""Who may come in at the admin listener: by which of its names, with which token, how often with a wrong one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from stibgate.domain.access import Grant, Principal, grant, principal_of
from stibgate.web.proxies import Proxies
from stibgate.web.throttle import Throttle

PROBES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
"""What answers to any name: orchestrators and scrapers ask by addresses of their own, and nothing there is secret."""
REQUEST_ID = web.RequestKey("stibgate_request_id", str)
"""The id of a request, as the answer and the log name it."""
TOKEN_NAMES = frozenset({"token", "access_token", "api_key", "key", "password"})
"""What stands in a URL stands in histories and logs, so a token there is refused, and must be taken for known."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in; the same for the API and the console.

    Attributes:
        grants: Returns the tokens that are good now.
        bind: The host that the listener is bound to.
        hosts: Returns the names beside it by which it may be called.
        proxies: Who may say who the client is.
        throttle: Counts wrong tokens.
    """

    grants: Callable[[], Sequence[Grant]]
    bind: str
    hosts: Callable[[], Sequence[str]]
    proxies: Proxies
    throttle: Throttle

    def principal_of(self, token: str) -> Principal | None:
        """Return whose *token* it is, or None."""
        return principal_of(self.grants(), token)

    def wrong(self, address: str) -> int:
        """Count a wrong token of *address*, and return for how many seconds it must wait; 0 while it need not.

        A right token is never asked to wait: it is too long to be guessed, and a script that was left behind with an
        old one must not lock out whoever works on the same machine.
        """
        wait_s = self.throttle.wait_s(address)
        if not wait_s:
            self.throttle.failed(address)
        return wait_s

    def lasting(self, principal: Principal, token: str) -> Callable[[], bool]:
        """Return what tells from now on whether *token* gives *principal* still; a reload may take it away."""
        given = grant(principal.name, principal.role, token)
        return lambda: given in self.grants()

    def client(self, request: web.BaseRequest) -> str:
        """Return the address of whoever asks."""
        return self.proxies.client(request)

    def answers_to(self, host: str | None) -> bool:
        """Return whether the listener is called by a name of its own.

        A page of another site can make a browser ask us under that site's name (DNS rebinding); it cannot make it
        ask under ours. So names must be known; of addresses only those that we are bound to.

        Args:
            host: The header `Host`.
        """
        try:
            name = urlsplit(f"//{host}").hostname if host else None
        except ValueError:
            return False
        if name is None:
            return False
        name = name.rstrip(".")
        if name == "localhost" or name.endswith(".localhost") or name in {self.bind.lower(), *self.hosts()}:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.bind in {"0.0.0.0", "::", ""}  # noqa: S104  (bound to every address)
