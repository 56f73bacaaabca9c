"""HubSpot on loopback: a real HTTP server that takes what HubSpot takes and refuses what it refuses.

Each file is a room of the vendor's API, or something that the rooms share; `server.py` opens their doors.

    server          HubSpotSandbox: one account, its rooms, its life
    portal          the account's settings
    border          key, limits, faults, scopes, bodies, counting
    limits          ten seconds, day, searches
    faults          what goes wrong on demand or at random
    refusals        the bodies of errors
    counters        what was counted
    objects         /crm/objects: batches, single records, lists, merge
    search          /crm/objects/.../search
    associations    /crm/associations
    properties      /crm/properties
    account         /account-info, /crm/owners, the key's information
    records         what is stored
    writes          planning and committing a batch
    matching        companies that HubSpot makes by itself
    definitions     properties, and what values they take (values, catalogue)
    openapi         /openapi.json (schemas: what is answered)
    kinds, paths, bodies, answers, shapes

Where the vendor's documents and what was observed of its service differ, the observation is reproduced; where neither
says, the stricter reading is, or a switch of `Portal`.
"""

from stibgate.sandbox.hubspot.faults import FAULTS
from stibgate.sandbox.hubspot.portal import ALL_SCOPES, Condition, Portal
from stibgate.sandbox.hubspot.server import HubSpotSandbox

__all__ = ["ALL_SCOPES", "FAULTS", "Condition", "HubSpotSandbox", "Portal"]
