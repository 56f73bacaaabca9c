"""Who a client is when proxies stand between: only those that are trusted may say."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web


class Proxies:
    """The proxies that may say who the client is, and which request id it has.

    Args:
        networks: Their addresses.
    """

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self.turn_to(networks)

    def turn_to(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        """Trust *networks* from now on, and no others."""
        self._networks = networks
        self.trusts = lru_cache(maxsize=1024)(self._look_up)

    def client(self, request: web.BaseRequest) -> str:
        """Return the address nearest to us that is no trusted proxy."""
        peer = peer_of(request)
        forwarded = request.headers.getall("X-Forwarded-For", ())
        if not forwarded or not self.trusts(peer):
            return peer
        for hop in reversed(",".join(forwarded).split(",")):
            try:
                address = str(ip_address(hop.strip()))
            except ValueError:
                return peer
            if "%" in address:  # a zone is any text, and means something on its own machine only
                return peer
            if not self.trusts(address):
                return address
            peer = address
        return peer

    def _look_up(self, address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:  # how a dual-stack socket names IPv4 peers
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks)


def peer_of(request: web.BaseRequest) -> str:
    """Return the address of whoever is connected; one on a Unix-domain socket is on this machine."""
    return "127.0.0.1" if request.remote == "" else request.remote or ""
