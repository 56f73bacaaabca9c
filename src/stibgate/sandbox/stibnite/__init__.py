"""Stibnite on loopback: a real HTTP server with the documented endpoints, fields, status codes and limits.

Each file is a room of the vendor's API; a room has `routes()`, and `server.py` opens their doors.

    server          StibniteSandbox: one account, its rooms, its life
    account         the account: key, clock, ids, usage
    border          how requests are read, let in and refused; limits, refusals, cursors belong to it
    search          what a query means, and which people it finds
    jobs            /v1/persons/search, /v1/persons/search/jobs
    taxonomy        /v1/persons/search/taxonomy
    directory       finding people and companies again
    lookups         /v1/persons/lookup, /v1/domains, /v1/companies/{domain}/people
    prospecting     /v1/prospecting: embed keys, embed sessions, wallet
    wallet          what a customer was granted, has used and may still do
    customers       /v1/partner-customers: wallets and credits
    sessions        /v1/prospecting/sessions: search, push, export
    webhooks        /v1/webhooks/endpoints
    usage           /v1/usage
    openapi         /openapi.json, from the bodies' models and from `shapes`
    documents       the bodies and headers of what Stibnite sends
    background      work that goes on after an answer
    courier         sending them: attempts, retries, signatures
    faults          what goes wrong on purpose, and how often

Source: Stibnite Person Data API (`seeds/`). What the document leaves open is decided here as its neighbours decide
it, and said where it is decided.
"""

from stibgate.sandbox.stibnite.courier import Pace
from stibgate.sandbox.stibnite.faults import FAULTS
from stibgate.sandbox.stibnite.server import StibniteSandbox

__all__ = ["FAULTS", "Pace", "StibniteSandbox"]
