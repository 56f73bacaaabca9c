"""Stibnite on loopback: a real HTTP server with the documented endpoints, fields, status codes and limits.

Each file is a room of the vendor's API; a room has `routes()`, and `server.py` opens their doors.

    server          StibniteSandbox: one account, its rooms, its life
    account         the account: key, clock, ids, usage
    border          how requests are read and refused
    search          what a query means, and which people it finds
    jobs            /v1/persons/search/jobs
    webhooks        /v1/webhooks/endpoints
    prospecting     /v1/prospecting: embed keys, embed sessions
    sessions        /v1/prospecting/sessions: search, push
    usage           /v1/usage
    documents       the bodies and headers of what Stibnite sends
    background      work that goes on after an answer
    courier         sending them: attempts, retries, signatures, faults

Source: Stibnite Person Data API (`seeds/`). What the document leaves open is decided here as its neighbours decide
it, and said where it is decided.
"""

from stibgate.sandbox.stibnite.courier import FAULTS, Pace, SentDelivery
from stibgate.sandbox.stibnite.server import StibniteSandbox

__all__ = ["FAULTS", "Pace", "SentDelivery", "StibniteSandbox"]
