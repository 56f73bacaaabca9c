"""What a newcomer needs: first steps, the words, the keys, and the same by command."""

from collections.abc import Sequence

from aiohttp import web

from stibgate.web.console.page import ConsoleParts, Page, Visit

WORDS: Sequence[tuple[str, str]] = (
    ("source", "a configured sender: how it proves itself, its secrets, its routes"),
    ("delivery", "one POST from a source, its body kept byte for byte"),
    ("event type", "what a delivery says happened"),
    ("scheme", "how a source signs"),
    ("idempotency key", "what makes two deliveries the same; the second is answered and not forwarded"),
    ("record", "one normalised person"),
    ("route", "which deliveries or records go to which sinks"),
    ("sink", "a configured place that records go to"),
    ("task", "one delivery owed to one sink"),
    ("attempt", "one try of a task"),
    ("outcome", "what became of one record at one sink: created, updated, written, refused and so on"),
    ("dead letter", "a task that will not be tried again by itself"),
    ("retry, redelivery, replay", "we try again, the vendor sends again, an operator asks for it again"),
    ("quarantine", "authenticated but not understood: kept whole, visible, and can be replayed after a fix"),
    ("suppression", "a person who must not be forwarded any more"),
)  # fmt: skip

STATES: Sequence[tuple[str, str]] = (
    ("accepted", "stored and acknowledged; its records are not routed yet"),
    ("processing", "its tasks are under way"),
    ("done", "every task is in a final state"),
    ("quarantined", "kept whole because it was not understood; the reason stands beside it"),
    ("ignored", "no route wants it, or nobody knows its event type"),
    ("queued", "a task's first attempt comes next"),
    ("leased", "an attempt runs now"),
    ("waiting", "it will be tried again by itself, at the time shown"),
    ("paused", "its sink is paused; nothing is lost"),
    ("delivered", "the sink has all its records"),
    ("partial", "the sink has some, and refused the others for good"),
    ("dead", "it will not be tried again by itself: see why, then replay"),
    ("cancelled", "an operator ended it"),
)

COMMANDS: Sequence[tuple[str, str]] = (
    ("stibgate listen", "this console's live tail in a terminal"),
    ("stibgate deliveries list --state quarantined", "the list, with the console's filters"),
    ("stibgate explain ID", "the whole story of a delivery, a task or a person"),
    ("stibgate dead list", "what needs a person; `stibgate dead replay --dry-run` counts first"),
    ("stibgate sinks test", "whether each sink could take records now; nothing is written"),
    ("stibgate verify --explain --capture FILE", "why a signature does not verify"),
    ("stibgate ledger --alarms", "money that brought nothing"),
    ("stibgate db backup", "one checked file, while the service runs"),
    ("stibgate doctor", "what is wrong on this machine"),
)


class Help:
    """The page `/help`."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the page."""
        return [Page("/help", self._show, "Help", nav=True)]

    async def _show(self, visit: Visit) -> web.Response:
        settings = self._parts.settings()
        return visit.show(
            "help.html",
            words=WORDS,
            states=STATES,
            commands=COMMANDS,
            has_sources=bool(settings.sources),
            has_sinks=bool(settings.sinks),
            public_url=settings.server.public_url,
        )
