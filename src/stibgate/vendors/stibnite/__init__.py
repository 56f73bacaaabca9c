"""The client of the Stibnite Person Data API.

client     StibniteClient: one method an endpoint
requests   what it is asked for, checked before anything is sent
models     what it answers
people     people, companies and domains in those answers
paging     lists that come in pages
polling    waiting for a job
export     the CSV export
proofs     API key, embed token, public key: which goes where
wire       one question, one typed answer
"""

from stibgate.vendors.retry import Means, Patience
from stibgate.vendors.stibnite.client import StibniteClient
from stibgate.vendors.stibnite.models import Job, Usage
from stibgate.vendors.stibnite.polling import Polling
from stibgate.vendors.stibnite.requests import (
    DomainFilters,
    Lookup,
    NewCredits,
    NewEmbedKey,
    NewEmbedSession,
    NewEndpoint,
    NewJob,
    Selection,
)

__all__ = [
    "DomainFilters",
    "Job",
    "Lookup",
    "Means",
    "NewCredits",
    "NewEmbedKey",
    "NewEmbedSession",
    "NewEndpoint",
    "NewJob",
    "Patience",
    "Polling",
    "Selection",
    "StibniteClient",
    "Usage",
]
