"""The shapes of what Stibnite answers, as JSON Schema: the documented fields and no others.

Source: Stibnite Person Data API, the tables and examples of all endpoints; what the examples leave out of a person
(phone, LinkedIn, most of a company) is not required.
"""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def thing(fields: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object that has all *fields*, may have *optional* ones, and has no others."""
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": list(fields),
        "additionalProperties": False,
    }


def listed(items: Schema) -> Schema:
    """Return the schema of a list of *items*."""
    return {"type": "array", "items": items}


def named(name: str) -> Schema:
    """Return a reference to the component *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_of(*words: str) -> Schema:
    """Return the schema of one of *words*."""
    return {"type": "string", "enum": list(words)}


TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}
TRUTH: Schema = {"type": "boolean"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
STRATEGY = one_of("taxonomy", "dynamic", "indexed_dynamic")
KEY_AND_LABEL = thing({"key": TEXT, "label": TEXT})
MODE = one_of("enforced", "metered")
RESET = one_of("monthly_reset", "rollover")
LIMITS: Schema = {"type": "object", "additionalProperties": COUNT_OR_NULL}
PUSHED_COUNTS = {
    "pushed_records": COUNT,
    "net_new_billable_records": COUNT,
    "already_purchased_records": COUNT,
}
ACTIONS = {
    "allowed_result_actions": listed(one_of("push_endpoint", "csv_export")),
    "result_action_labels": thing({}, optional={"push_endpoint": TEXT, "csv_export": TEXT}),
}

_COMPANY = thing(
    {"company_id": TEXT, "name": TEXT, "domain": TEXT},
    optional={
        "phone": TEXT,
        "linkedin_url": TEXT,
        "revenue": COUNT,
        "employee_count": COUNT,
        "industry": TEXT,
        "sic": TEXT,
        "naics": TEXT,
        "city": TEXT,
        "state": TEXT,
    },
)
_PERSON = thing(
    {
        "person_id": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "job_title": TEXT_OR_NULL,
        "business_email": TEXT,
        "company": named("Company"),
    },
    optional={"mobile_phone": TEXT, "linkedin_url": TEXT},
)
_PREVIEW = thing(
    {
        "prospect_id": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "job_title": TEXT_OR_NULL,
        "company": thing({"name": TEXT, "employee_count": COUNT, "industry": TEXT, "city": TEXT, "state": TEXT}),
        "reveal_state": one_of("preview", "purchased"),
    }
)
_INTERPRETATION = thing({"roles": listed(KEY_AND_LABEL), "industries": listed(KEY_AND_LABEL), "warnings": listed(TEXT)})
_PAGINATION = thing(
    {
        "limit": COUNT,
        "total_records": COUNT,
        "total_records_relation": one_of("eq", "gte"),
        "total_pages": COUNT,
        "next_cursor": TEXT_OR_NULL,
        "max_records": COUNT,
    }
)
_RESULT = {
    "pagination": named("Pagination"),
    "data": listed(named("Person")),
    "billable_records": COUNT,
    "timings_ms": thing({"interpretation": COUNT, "search": COUNT, "total": COUNT, "search_strategy": STRATEGY}),
}
_MEANING = {"search_strategy": STRATEGY, "interpretation": named("Interpretation")}


def _job(*statuses: str) -> dict[str, Schema]:
    return {"job_id": TEXT, "status": one_of(*statuses), **_MEANING}


_WALLET = thing(
    {
        "available_credit_units": COUNT_OR_NULL,
        "granted_credit_units": COUNT,
        "applied_credit_units": COUNT,
        "monthly_applied_credit_units": COUNT,
        "lifetime_applied_credit_units": COUNT,
        "credit_enforcement_mode": MODE,
        "credit_reset_policy": RESET,
        "active_credit_grants": COUNT,
        "monthly_credit_units_used": COUNT,
        "lifetime_credit_units_used": COUNT,
        "limits": LIMITS,
        "usage": thing(
            {
                "monthly_credit_units": COUNT,
                "lifetime_credit_units": COUNT,
                "monthly_search_sessions": COUNT,
                "lifetime_search_sessions": COUNT,
                "monthly_record_reveals": COUNT,
                "lifetime_record_reveals": COUNT,
            }
        ),
        "limit_state": thing(
            {
                "can_search": TRUTH,
                "can_reveal": TRUTH,
                "search_block_reason": TEXT_OR_NULL,
                "reveal_block_reason": TEXT_OR_NULL,
            }
        ),
        **ACTIONS,
    }
)
_SUMMARY = {
    "partner_customer_id": TEXT,
    "status": one_of("active", "suspended"),
    **ACTIONS,
    "wallet": named("Wallet"),
}
_EMBED_KEY = thing(
    {
        "id": TEXT,
        "key_prefix": TEXT,
        "label": TEXT,
        "status": one_of("active"),
        "allowed_origins": listed(TEXT),
        "result_delivery_url": TEXT_OR_NULL,
        "result_delivery_cta": TEXT,
        "csv_export_enabled": TRUTH,
        "default_credit_enforcement_mode": MODE,
        "default_credit_reset_policy": RESET,
        "default_limits": LIMITS,
    }
)
_ENDPOINT = {
    "id": TEXT,
    "url": TEXT,
    "description": TEXT_OR_NULL,
    "events": listed(one_of("person_search.job.succeeded", "person_search.job.failed")),
    "status": one_of("active"),
    "created_at": INSTANT,
}
_TAXONOMY = thing(
    {
        "fast_paths": thing(
            {
                "taxonomy": thing(
                    {
                        "description": TEXT,
                        "roles": listed(KEY_AND_LABEL),
                        "industries": listed(KEY_AND_LABEL),
                        "compatibility": {"type": "object", "additionalProperties": listed(TEXT)},
                        "example_queries": listed(TEXT),
                    }
                ),
                "indexed_dynamic": thing(
                    {
                        "description": TEXT,
                        "roles": listed(thing({"key": TEXT, "label": TEXT, "phrases": listed(TEXT)})),
                        "company_filters": listed(TEXT),
                    }
                ),
            }
        ),
        "native_geo_parameters": listed(TEXT),
    }
)

SHAPES: Mapping[str, Schema] = {
    "Message": thing({"message": TEXT}),
    "Company": _COMPANY,
    "Person": _PERSON,
    "Interpretation": _INTERPRETATION,
    "Pagination": _PAGINATION,
    "Wallet": _WALLET,
    "SearchResult": thing({**_MEANING, **_RESULT}),
    "JobCreated": thing({**_job("queued"), "created_at": INSTANT}),
    "Job": {
        "oneOf": [
            thing(_job("queued", "running")),
            thing({**_job("succeeded"), **_RESULT}),
            thing({**_job("failed"), "error": TEXT}),
        ]
    },
    "Taxonomy": _TAXONOMY,
    "LookupResult": thing({"data": listed(named("Person")), "billable_records": COUNT}),
    "Domains": thing(
        {
            "data": listed(
                thing(
                    {
                        "domain": TEXT,
                        "contact_count": COUNT,
                        "industry": TEXT,
                        "location": thing({"city": TEXT, "state": TEXT}),
                    }
                )
            ),
            "pagination": thing({"next_cursor": TEXT_OR_NULL}),
        }
    ),
    "CompanyPeople": thing(
        {
            "data": listed(named("Person")),
            "pagination": thing({"limit": COUNT, "next_cursor": TEXT_OR_NULL}, optional={"max_records": COUNT}),
            "billable_records": COUNT,
        }
    ),
    "WalletSummary": thing(_SUMMARY),
    "CreditGranted": thing(
        {
            "credit_grant": thing({"id": TEXT, "partner_customer_id": TEXT, "credit_units_granted": COUNT}),
            **_SUMMARY,
        }
    ),
    "EmbedKeyCreated": thing({"public_key": TEXT, "embed_key": _EMBED_KEY}),
    "EmbedSession": thing(
        {"token": TEXT, "partner_customer_id": TEXT, "external_customer_id": TEXT, "expires_at": INSTANT}
    ),
    "ProspectingSession": thing({"search_id": TEXT, "data": listed(_PREVIEW)}),
    "Pushed": thing(
        {
            "delivered": TRUTH,
            "delivery_status": COUNT,
            "search_id": TEXT,
            "partner_customer_id": TEXT,
            "selection": thing({"mode": one_of("selected", "page", "all_results"), "prospect_ids": listed(TEXT)}),
            **PUSHED_COUNTS,
        }
    ),
    "Endpoint": thing(_ENDPOINT),
    "EndpointCreated": thing({**_ENDPOINT, "signing_secret": TEXT}),
    "Endpoints": thing({"data": listed(named("Endpoint"))}),
    "Deleted": thing({"deleted": {"const": True}}),
    "Usage": thing({"requests": COUNT, "billable_records": COUNT}),
}
"""Every component by its name."""
