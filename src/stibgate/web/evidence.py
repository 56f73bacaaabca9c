"""What is kept of a request that was refused: nothing that only its sender could know."""

from aiohttp import hdrs, web

from stibgate.domain.rejection import Evidence, agent_of
from stibgate.pipeline.refusals import Doubtful, body_evidence


def evidence_of(
    request: web.BaseRequest,
    *,
    request_id: str,
    status: int,
    client: str,
    doubtful: Doubtful | None = None,
) -> Evidence:
    """Return what is kept of *request*, which is *doubtful* when its signature did not verify."""
    schemes = () if doubtful is None else doubtful.schemes
    places = {name for one in schemes for name in (one.header, one.timestamp_header, one.id_header) if name}
    size, digest = (None, None) if doubtful is None else body_evidence(doubtful.body)
    return Evidence(
        request_id=request_id,
        http_status=status,
        client_ip=client,
        user_agent=agent_of(request.headers.get(hdrs.USER_AGENT)),
        headers=tuple(sorted(name for name in places if name in request.headers)),
        schemes=tuple(dict.fromkeys(scheme.name for scheme in schemes)),
        body_bytes=size,
        body_sha256=digest,
    )
