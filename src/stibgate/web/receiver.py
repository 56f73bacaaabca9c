"""The public listener: takes deliveries, answers what the contract says, and nothing else.

The order of work on a POST: source and token; method, content type, encoding, declared size; the raw
body within `max_body` and `body_timeout`; then intake verifies over the raw bytes and admits. The
low-level server is used without an application: three routes need no router, the sender's `Expect` must
wait until the head was checked, and nothing may decode the body before the signature is checked.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from stibgate.domain.fact import Answer, Answered, Looked, Observe, unobserved
from stibgate.errors import DeliveryRefused, SignatureRefused, StoreFull, StoreUnavailable
from stibgate.pipeline.intake import Incoming, Intake, not_found
from stibgate.pipeline.refusals import Doubtful, Refusals
from stibgate.pipeline.source import Source
from stibgate.web.acknowledgement import Acknowledgement
from stibgate.web.evidence import evidence_of
from stibgate.web.limits import InFlight, RateLimiter, TokenBucket
from stibgate.web.problem import SERVER, problem
from stibgate.web.proxies import Proxies, peer_of
from stibgate.web.rawbody import RETRY_LATER_S, read_body
from stibgate.web.target import Target, target_of

log = structlog.get_logger("stibgate.receiver")

REJECTED_LINES_PER_S = 50
BUSY_REQUESTS = 16
"""From this many requests in flight on, background work leaves the processor to the answers."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_METHODS = "GET, HEAD, POST"
_OWN_METHODS = "GET, HEAD"


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """What bounds a request.

    Attributes:
        max_body_bytes: A larger body is 413.
        body_timeout_s: A body that takes longer is 408.
        trusted_proxies: Only these may say who the client is and which request id it has.
    """

    max_body_bytes: int
    body_timeout_s: float
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(slots=True)
class _Visit:
    """One request on its way to an answer.

    Attributes:
        started_s: When it began, on the loop's clock.
        proxies: Who may say who the client is, as it was when the request came.
        route: The template of its path, once that is known.
        source: Whose it is, once that is known.
    """

    request: web.BaseRequest
    request_id: str
    started_s: float
    proxies: Proxies
    route: str = ""
    source: Source | None = None

    @property
    def method(self) -> str:
        """Its method, of those that there are."""
        return self.request.method if self.request.method in hdrs.METH_ALL else "_OTHER"

    @property
    def client(self) -> str:
        """The client's address, as far as trusted proxies tell it."""
        return self.proxies.client(self.request)


class Receiver:
    """Handles every request of the public listener.

    Args:
        intake: Verifies and admits.
        settings: Bounds.
        limiter: The rate of each source.
        in_flight: Requests and bytes that may be held at once.
        check_space: Raises `StoreUnavailable` when nothing could be stored, before anything is read.
        new_request_id: Makes request ids.
        observe: Told of each answer.
        refusals: Where what is refused is grouped for people.
    """

    def __init__(
        self,
        intake: Intake,
        settings: ReceiverSettings,
        *,
        limiter: RateLimiter,
        in_flight: InFlight,
        check_space: Callable[[], None],
        new_request_id: Callable[[], str],
        observe: Observe = unobserved,
        refusals: Refusals | None = None,
    ) -> None:
        self._observe = observe
        self._refusals = refusals
        self._intake = intake
        self._settings = settings
        self._limiter = limiter
        self._in_flight = in_flight
        self._check_space = check_space
        self._new_request_id = new_request_id
        self._clock = asyncio.get_running_loop().time
        self._rejected_lines = TokenBucket(REJECTED_LINES_PER_S, REJECTED_LINES_PER_S, REJECTED_LINES_PER_S, 0.0)
        self._suppressed = 0
        self._proxies = Proxies(settings.trusted_proxies)
        self.draining = False
        self.relieved = False
        """While draining: whether another process takes who comes now, so that who is here still gets an answer."""

    def adopt(self, intake: Intake, settings: ReceiverSettings, limiter: RateLimiter | None = None) -> None:
        """Answer whoever comes from now on by these; who is here already is answered as it came.

        Args:
            intake: Verifies and admits.
            settings: Bounds.
            limiter: The rate of each source; None when it stays as it was.
        """
        self._intake, self._settings = intake, settings
        self._limiter = limiter or self._limiter
        self._proxies = Proxies(settings.trusted_proxies)

    @property
    def busy(self) -> bool:
        """Whether so many answers are waiting that other work should step back."""
        return self._in_flight.requests >= BUSY_REQUESTS

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the answer to one request of the public listener."""
        started_s = self._clock()
        trusted = self._proxies.trusts(peer_of(request))
        visit = _Visit(request, self._request_id(request, trusted=trusted), started_s, self._proxies)
        try:
            return await self._answer(visit)
        except DeliveryRefused as refusal:
            return self._refuse(visit, refusal)
        except StoreFull as error:
            return self._cannot_store(507, error, visit)
        except StoreUnavailable as error:
            return self._cannot_store(503, error, visit)
        except Exception as error:
            # A bug of ours must not cost a delivery: the sender is asked to come again.
            log.exception("unhandled", request_id=visit.request_id, source=visit.source.name if visit.source else None)
            return self._cannot_store(503, StoreUnavailable(type(error).__name__), visit)

    async def _answer(self, visit: _Visit) -> web.Response:
        request = visit.request
        if request.version not in {HttpVersion10, HttpVersion11}:
            raise DeliveryRefused(400, "Bad Request", "http_version", close=True)
        target = target_of(request)
        visit.route = target.route
        if target.source is None:
            return self._own_page(visit, target)
        visit.source, token_valid = self._intake.find(target.source, target.token)
        if request.method in {hdrs.METH_GET, hdrs.METH_HEAD}:
            return self._looked(visit, web.Response(headers={"X-Request-Id": visit.request_id, "Server": SERVER}))
        return await self._receive(visit, visit.source, token_valid=token_valid)

    async def _receive(self, visit: _Visit, source: Source, *, token_valid: bool) -> web.Response:
        request = visit.request
        intake, settings = self._intake, self._settings  # a reload may come while the body does
        self._check_head(request)
        self._check_load(source, visit.started_s)
        in_flight = self._in_flight
        in_flight.requests += 1
        held = 0
        try:
            self._check_space()
            body = await read_body(request, in_flight, settings.max_body_bytes, settings.body_timeout_s)
            held = len(body)
            in_flight.bytes += held
            receipt = await intake.receive(
                source,
                Incoming(
                    request_id=visit.request_id,
                    headers=partial(request.headers.getall, default=()),
                    body=body,
                    client=visit.client,
                    token_valid=token_valid,
                    started_s=visit.started_s,
                ),
            )
        except SignatureRefused as refusal:
            doubtful = Doubtful(source, intake.schemes(source), tuple(request.headers.items()), body)
            return self._refuse(visit, DeliveryRefused(401, "Unauthorized", refusal.reason), doubtful)
        finally:
            in_flight.requests -= 1
            in_flight.bytes -= held
        self._observe(
            Answered(
                source.name,
                Answer(receipt.status),
                source.ack_status,
                self._clock() - visit.started_s,
                receipt.reason,
                len(body),
                receipt.records,
                receipt.event_type,
                receipt.proof,
                receipt.conflict,
                "POST",
                visit.route,
            )
        )
        answer = Acknowledgement(receipt, status=source.ack_status, request_id=visit.request_id)
        if self.draining:
            answer.force_close()
        return answer

    def _check_head(self, request: web.BaseRequest) -> None:
        if request.method != hdrs.METH_POST:
            raise DeliveryRefused(405, "Method Not Allowed", "method")
        if not _is_json(request):
            raise DeliveryRefused(415, "Unsupported Media Type", "content_type")
        encodings = request.headers.getall(hdrs.CONTENT_ENCODING, ())
        if any(encoding.strip().lower() not in {"identity", ""} for encoding in encodings):
            raise DeliveryRefused(415, "Unsupported Media Type", "content_encoding")
        if (request.content_length or 0) > self._settings.max_body_bytes:
            raise DeliveryRefused(413, "Content Too Large", "too_large", close=True)
        if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            raise DeliveryRefused(417, "Expectation Failed", "expect", close=True)

    def _check_load(self, source: Source, now_s: float) -> None:
        if self.draining and not self.relieved:
            raise DeliveryRefused(503, "Service Unavailable", "draining", retry_after_s=RETRY_LATER_S, close=True)
        if wait_s := self._limiter.take(source.name, now_s):
            raise DeliveryRefused(429, "Too Many Requests", "rate", retry_after_s=wait_s)
        if self._in_flight.requests >= self._in_flight.requests_max:
            raise DeliveryRefused(503, "Service Unavailable", "concurrency", retry_after_s=1)

    def _own_page(self, visit: _Visit, target: Target) -> web.Response:
        if target.path != "/healthz":
            raise not_found()
        visit.route = target.path
        if visit.request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
            raise DeliveryRefused(405, "Method Not Allowed", "method")
        headers = {"X-Request-Id": visit.request_id, "Server": SERVER}
        return self._looked(
            visit, web.Response(body=b'{"status":"ok"}', content_type="application/json", headers=headers)
        )

    def _looked(self, visit: _Visit, response: web.Response) -> web.Response:
        self._observe(Looked(visit.method, visit.route, response.status, self._clock() - visit.started_s))
        return response

    def _refuse(self, visit: _Visit, refusal: DeliveryRefused, doubtful: Doubtful | None = None) -> web.Response:
        outcome = Answer.THROTTLED if refusal.status == 429 else Answer.REJECTED
        event = "delivery.throttled" if outcome is Answer.THROTTLED else "delivery.rejected"
        name = visit.source.name if visit.source else refusal.source
        self._tell_unanswered(visit, name, outcome, refusal.status, refusal.reason)
        self._note(visit, refusal, doubtful)
        if self._may_log():
            log.warning(
                event,
                request_id=visit.request_id,
                source=name,
                reason=refusal.reason,
                http_status=refusal.status,
                client_ip=visit.client,
                retry_after_s=refusal.retry_after_s,
                suppressed=self._take_suppressed(),
            )
        response = problem(
            refusal.status,
            title=refusal.title,
            request_id=visit.request_id,
            retry_after_s=refusal.retry_after_s,
            allow=(_METHODS if visit.source else _OWN_METHODS) if refusal.status == 405 else None,
            close=refusal.close,
        )
        response.headers["X-Request-Id"] = visit.request_id
        return response

    def _tell_unanswered(self, visit: _Visit, source: str | None, outcome: Answer, status: int, reason: str) -> None:
        duration_s = self._clock() - visit.started_s
        self._observe(
            Answered(source, outcome, status, duration_s, reason, method=visit.method, route=visit.route)
        )  # fmt: skip

    def _note(self, visit: _Visit, refusal: DeliveryRefused, doubtful: Doubtful | None) -> None:
        """Have the refusal counted; *doubtful* is a request whose signature did not verify."""
        if self._refusals is None:
            return
        request, source = visit.request, visit.source
        look = partial(
            evidence_of,
            request,
            request_id=visit.request_id,
            status=refusal.status,
            client=visit.client,
            doubtful=doubtful,
        )
        self._refusals.note(source.name if source else refusal.source, refusal.reason, look, doubtful)

    def _may_log(self) -> bool:
        """Return whether a refusal may have a line of its own; a flood of them must not fill the log's disk."""
        if self._rejected_lines.take(self._clock()) == 0:
            return True
        self._suppressed += 1
        return False

    def _take_suppressed(self) -> int | None:
        count, self._suppressed = self._suppressed, 0
        return count or None

    def _cannot_store(self, status: int, error: StoreUnavailable, visit: _Visit) -> web.Response:
        name = visit.source.name if visit.source else None
        self._tell_unanswered(visit, name, Answer.FAILED, status, "store")
        if self._may_log():
            log.error(
                "store.error",
                request_id=visit.request_id,
                source=name,
                error=error.message,
                hint=error.hint,
                http_status=status,
                suppressed=self._take_suppressed(),
            )
        response = problem(status, request_id=visit.request_id, retry_after_s=RETRY_LATER_S)
        response.headers["X-Request-Id"] = visit.request_id
        return response

    def _request_id(self, request: web.BaseRequest, *, trusted: bool) -> str:
        given = request.headers.get("X-Request-Id") if trusted else None
        return given if given is not None and _REQUEST_ID.fullmatch(given) else self._new_request_id()


def _is_json(request: web.BaseRequest) -> bool:
    if request.headers.get(hdrs.CONTENT_TYPE) == "application/json":
        return True
    kind = request.content_type
    return hdrs.CONTENT_TYPE in request.headers and (kind == "application/json" or kind.endswith("+json"))
