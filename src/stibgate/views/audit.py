"""The audit, as it is listed."""

from typing import Any

from stibgate.domain.audit import AuditLine
from stibgate.views.words import moment


def audit_row(line: AuditLine) -> dict[str, Any]:
    """Return a line of the audit as JSON; `chain` seals it and all lines before."""
    entry = line.entry
    return {
        "sequence": line.sequence,
        "at": moment(entry.at_ms),
        "actor": entry.actor,
        "role": entry.role,
        "action": entry.action,
        "target": entry.target,
        "detail": dict(entry.detail),
        "client_ip": entry.client_ip,
        "chain": line.chain.hex(),
    }
