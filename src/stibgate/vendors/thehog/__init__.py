"""The client of The Hog's people-search estimate.

client     TheHogClient: `estimate`
requests   what it is asked for, checked before anything is sent
models     what it answers
"""

from stibgate.vendors.retry import Means, Patience
from stibgate.vendors.thehog.client import TheHogClient
from stibgate.vendors.thehog.models import Estimate
from stibgate.vendors.thehog.requests import CompanyFilters, CountRange, PeopleFilters, PeopleSearch

__all__ = [
    "CompanyFilters",
    "CountRange",
    "Estimate",
    "Means",
    "Patience",
    "PeopleFilters",
    "PeopleSearch",
    "TheHogClient",
]
