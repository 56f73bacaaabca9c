"""Spans of what comes and of what is forwarded, for a collector that speaks OTLP; needs the extra `otel`.

A delivery is answered in one span, which is a trace of its own: whoever sends must not choose ours, so what it names
is linked and not continued. Each attempt is one too, hours later or after a restart, and links back to it by what the
delivery remembers. Spans name parts of ours and ids of ours: no path, no query, no header, no body.
Source: OpenTelemetry semantic conventions for HTTP server spans; `url.path` is left out, because it may hold a token.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import requests
from aiohttp import web
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import Attributes

from stibgate import __version__
from stibgate.config import TracingSettings
from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.fact import Answered, Attempted, Fact, Looked
from stibgate.domain.task import Signal, Task
from stibgate.domain.trace import CURRENT, TraceContext, parse_traceparent
from stibgate.web.acknowledgement import Acknowledgement

QUEUE_MAX = 4_096
"""How many spans wait for the collector; what comes then is dropped and counted."""
BATCH_MAX = 512
BATCH_DELAY_MS = 2_000
EXPORT_TIMEOUT_S = 5.0
CLOSED_S = 3.0

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Value = str | int | float | bool

_SPAN: ContextVar[Span | None] = ContextVar("stibgate_span", default=None)
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_FAILED = frozenset({Signal.UNAVAILABLE, Signal.REJECTED, Signal.EXHAUSTED})


class Tracing:
    """Makes spans, and sends them off on a thread of its own.

    Args:
        settings: Where to, and how many.
        host: The public listener's name or address.
        exporter: Where to instead of the collector; for tests.
    """

    def __init__(self, settings: TracingSettings, *, host: str, exporter: SpanExporter | None = None) -> None:
        self._host = host
        self._exporter = _Counting(exporter or _collector(settings))
        self._outbox = _Outbox(self._exporter)
        resource = Resource.create({"service.name": "stibgate", "service.version": __version__})
        provider = TracerProvider(sampler=_Chosen(settings.sample), resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(self._outbox)
        self._tracer = provider.get_tracer("stibgate", __version__)

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of spans so far: `exported`, `failed` or `dropped`."""
        return self._outbox.counts

    async def close(self) -> None:
        """Send off what waits; a collector that does not answer ends that after a moment."""
        ending = asyncio.create_task(asyncio.to_thread(self._outbox.shutdown))
        await asyncio.wait([ending], timeout=CLOSED_S)
        self._exporter.shutdown()
        await ending

    def around(self, handle: Handler) -> Handler:
        """Return *handle* with a span around each delivery; one for a look would only be noise."""

        async def handled(request: web.BaseRequest) -> web.StreamResponse:
            with self._span_of(request) as span:
                response = await handle(request)
                span.set_attribute("http.response.status_code", response.status)
                if isinstance(response, Acknowledgement):
                    span.set_attribute("stibgate.delivery_id", response.delivery_id)
                if response.status >= 500:
                    span.set_attribute("error.type", str(response.status))
                    span.set_status(Status(StatusCode.ERROR))
                return response

        return handled

    @contextmanager
    def attempt(self, task: Task, delivery: StoredDelivery) -> Iterator[None]:
        """Make the attempt of *task* in a span that links to the one in which *delivery* came."""
        attributes: dict[str, Value] = {
            "stibgate.sink": task.sink,
            "stibgate.task_id": task.task_id,
            "stibgate.delivery_id": task.delivery_id,
            "stibgate.source": delivery.source,
            "stibgate.attempt": task.attempts,
            "stibgate.records": task.records,
        }
        came = parse_traceparent(delivery.trace)
        with self._span(f"forward {task.sink}", SpanKind.CONSUMER, attributes, came):
            yield

    def observe(self, fact: Fact) -> None:
        """Write on the present span what is known at its end."""
        span = _SPAN.get()
        if span is None:
            return
        match fact:
            case Answered():
                _name(span, fact.method, fact.route)
                span.set_attributes(_told(fact))
            case Looked():
                span.set_attribute(_LOOK, True)  # noqa: FBT003  (OpenTelemetry's)
            case Attempted():
                span.set_attribute("stibgate.result", str(fact.signal))
                span.set_attributes({f"stibgate.records.{kind}": count for kind, count in fact.outcomes.items()})
                if fact.signal in _FAILED:
                    span.set_attribute("error.type", str(fact.signal))
                    span.set_status(Status(StatusCode.ERROR))
            case _:
                pass

    def _span_of(self, request: web.BaseRequest) -> AbstractContextManager[Span]:
        method = request.method if request.method in _METHODS else "_OTHER"
        attributes: dict[str, Value] = {
            "http.request.method": method,
            "url.scheme": request.scheme,
            "server.address": self._host,
        }
        given = request.headers.getall("traceparent", ())
        sent = parse_traceparent(given[0]) if len(given) == 1 else None
        return self._span("HTTP" if method == "_OTHER" else method, SpanKind.SERVER, attributes, sent)

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, Value], linked: TraceContext | None
    ) -> Iterator[Span]:
        links = [] if linked is None else [Link(_context_of(linked))]
        span = self._tracer.start_span(name, Context(), kind, attributes, links)
        context = span.get_span_context()
        held = _SPAN.set(span)
        current = CURRENT.set(
            TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled)
        )
        try:
            yield span
        except BaseException as error:
            # Its message may quote a body; its type cannot.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            CURRENT.reset(current)
            _SPAN.reset(held)
            span.end()


class _Chosen(Sampler):
    """Takes a part of the deliveries, and the attempts of those."""

    def __init__(self, sample: float) -> None:
        self._part = TraceIdRatioBased(sample)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return whether a span is recorded: an attempt is where its delivery was."""
        if kind is SpanKind.CONSUMER and links:
            taken = links[0].context.trace_flags.sampled
            return SamplingResult(Decision.RECORD_AND_SAMPLE if taken else Decision.DROP, attributes)
        return self._part.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return what this is called."""
        return f"stibgate, {self._part.get_description()}"


class _Counting(SpanExporter):
    """Counts what an exporter sent, and what it could not."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._ended = False
        self.exported = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send *spans*."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self.exported += len(spans)
            else:
                self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        """Send no more."""
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()


class _Outbox(BatchSpanProcessor):
    """Holds spans until they are sent; never more than there is room for."""

    def __init__(self, exporter: _Counting) -> None:
        super().__init__(
            exporter,
            max_queue_size=QUEUE_MAX,
            schedule_delay_millis=BATCH_DELAY_MS,
            max_export_batch_size=BATCH_MAX,
        )
        self._counting = exporter
        self._taken = 0
        self._dropped = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of spans so far."""
        counting = self._counting
        return {"exported": counting.exported, "failed": counting.failed, "dropped": self._dropped}

    def on_end(self, span: ReadableSpan) -> None:
        """Take *span* when there is room; a look at the door is no news."""
        if not span.context.trace_flags.sampled or (span.attributes and _LOOK in span.attributes):
            return
        if self._taken - self._counting.exported - self._counting.failed >= QUEUE_MAX:
            self._dropped += 1
            return
        self._taken += 1
        super().on_end(span)


_LOOK = "stibgate.look"


def _collector(settings: TracingSettings) -> SpanExporter:
    session = requests.Session()
    session.max_redirects = 0  # a key in a header must not follow one
    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        headers={name: value.get_secret_value() for name, value in settings.headers.items()},
        timeout=EXPORT_TIMEOUT_S,
        compression=Compression.Gzip,
        session=session,
    )


def _context_of(trace: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=True, trace_flags=flags)


def _name(span: Span, method: str, route: str) -> None:
    if route:
        span.set_attribute("http.route", route)
        span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")


def _told(fact: Answered) -> dict[str, Value]:
    told: dict[str, Value | None] = {
        "stibgate.source": fact.source,
        "stibgate.outcome": str(fact.outcome),
        "stibgate.reason": fact.reason,
        "stibgate.event_type": fact.event_type,
        "stibgate.records": fact.records,
    }
    return {name: value for name, value in told.items() if value is not None}
