"""The options of an enumeration, and which of them a text means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stibgate.normalise import states
from stibgate.sinks.hubspot import industry


@dataclass(frozen=True, slots=True)
class Choices:
    """One enumeration's options; HubSpot takes the internal value only.

    Attributes:
        exact: By value and label, without regard to case.
        letters: By their letters alone, for industries.
        states: By two-letter code, where an option is a US state.
    """

    exact: Mapping[str, str]
    letters: Mapping[str, str]
    states: Mapping[str, str]

    @classmethod
    def of(cls, options: Sequence[tuple[str, str]]) -> "Choices":
        """Return the choices among *options*, pairs of value and label; a value wins over a label of that name."""
        labels = [(label.strip(), value) for value, label in options]
        values = [(value.strip(), value) for value, _ in options]
        texts = [(text, value) for text, value in labels + values if text]
        return cls(
            exact={text.casefold(): value for text, value in texts},
            letters={key: value for text, value in texts if (key := industry.letters(text))},
            states={states.canonical(text): value for text, value in texts},
        )

    def meant_by(self, text: str, source: str) -> str | None:
        """Return the value that *text* means, or None: then nothing is sent.

        Args:
            text: The record's value.
            source: The record's field.
        """
        exact = self.exact.get(text.casefold())
        if exact is None and source == "company_industry":
            return industry.match(text, self.letters)
        if exact is None and source == "company_state":
            return self.states.get(states.canonical(text))
        return exact
