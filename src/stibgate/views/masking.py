"""Personal data as those see it who may not see it: enough to tell two people apart, not enough to reach one.

What survives of a value, at most:

| field | shown |
|---|---|
| names | the first letter and a full stop, of a name of two characters or more |
| e-mail address | the first character of a local part of two or more, and the domain: `j***@example.com` |
| phone number in E.164 | the first five and the last four characters, `+1208***0123`; of fewer than 12 the last two |
| LinkedIn profile | `https://linkedin.com/in/***` |
| what is none of these, unknown fields, originals of flagged fields | `***` |

Ids, the company's own data, the job's title and where the record comes from are shown as they are.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from stibgate.domain.record import Record

HIDDEN = "***"
_PROFILE = "https://linkedin.com/in/"
_PHONE = re.compile(r"\+[0-9]{7,15}")
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def masked_record(record: Record) -> dict[str, Any]:
    """Return *record* as `Record.to_document` has it, with its personal data masked."""
    document = record.to_document()
    for name, mask in _MASKS.items():
        if name in document:
            document[name] = mask(str(document[name]))
    if "extra" in document:
        document["extra"] = HIDDEN
    if "issues" in document:
        document["issues"] = [{**issue, "original": HIDDEN} for issue in document["issues"]]
    return document


def mask_name(name: str) -> str:
    """Return the initial of *name*: `J.`."""
    return f"{name[0]}." if len(name) > 1 and name[0].isalpha() else HIDDEN


def mask_email(address: str) -> str:
    """Return *address* with the first character of its local part and its domain: `j***@example.com`."""
    local, at, domain = address.partition("@")
    if not at or not _DOMAIN.fullmatch(domain):
        return HIDDEN
    first = local[0] if len(local) > 1 and local[0].isalnum() else ""
    return f"{first}{HIDDEN}@{domain}"


def mask_phone(number: str) -> str:
    """Return *number* without its middle: `+1208***0123`."""
    if not _PHONE.fullmatch(number):
        return HIDDEN
    return f"{number[:5]}{HIDDEN}{number[-4:]}" if len(number) >= 12 else f"{HIDDEN}{number[-2:]}"


def mask_profile(url: str) -> str:
    """Return the LinkedIn URL of a person without the part that names them."""
    return f"{_PROFILE}{HIDDEN}" if url.startswith(_PROFILE) else HIDDEN


_MASKS: Mapping[str, Callable[[str], str]] = {
    "first_name": mask_name,
    "last_name": mask_name,
    "business_email": mask_email,
    "mobile_phone": mask_phone,
    "company_phone": mask_phone,
    "linkedin_url": mask_profile,
}
"""Field -> how it is masked. A company's phone number is often a person's direct line."""
