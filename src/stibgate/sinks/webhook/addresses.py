"""Which addresses are public: everything else is refused, unless the operator allows it.

The lists stand here, not in `ipaddress.is_global`, whose answers changed between patch releases of Python.
Source: IANA special-purpose address registries for IPv4 and IPv6; RFC 6890, RFC 6052 (NAT64), RFC 3056 (6to4).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT; some clouds' metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's platform service, on an address that looks public
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation, as the two below
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")  # nothing outside of it is public
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols: Teredo, ORCHID
        "2001:db8::/32",  # documentation, as the last
        "2002::/16",  # 6to4: an IPv4 address, private ones too, in disguise
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # how a network without IPv4 reaches every IPv4 address


def is_public(address: str) -> bool:
    """Return whether *address* is one that the internet routes; text that is no address is not.

    An IPv4 address inside an IPv6 one (mapped, or NAT64) is judged as what it leads to.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_V4)
    if ip.scope_id is not None:
        return False
    if (inner := _embedded(ip)) is not None:
        return is_public(str(inner))
    return ip in _GLOBAL_UNICAST_V6 and not any(ip in network for network in _NOT_PUBLIC_V6)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    return ip.ipv4_mapped or (IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in _NAT64 else None)


def is_private_name(host: str) -> bool:
    """Return whether *host* is, already without resolving it, no public place: a hint for whoever configures it."""
    name = host.rstrip(".").lower()
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))
    return not is_public(name)
