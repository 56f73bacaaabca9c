"""The Hog on loopback: its people-search estimate as a real HTTP server, with the documented fields and limits.

    server      TheHogSandbox: one account, its knobs, its life
    border      the way in and out: keys, rate, faults, the error envelope
    bodies      what may be sent, and what is answered
    prices      what a search may cost
    faults      what goes wrong on demand
    openapi     /openapi.json

Source: The Hog, "Estimate people search" (`seeds/`), and the vendor's OpenAPI document where that page is silent. What
neither says is decided here by the stricter reading, and said where it is decided.
"""

from stibgate.sandbox.thehog.faults import FAULTS
from stibgate.sandbox.thehog.prices import Prices
from stibgate.sandbox.thehog.server import TheHogSandbox

__all__ = ["FAULTS", "Prices", "TheHogSandbox"]
