"""The nouns: frozen dataclasses, enums and pure functions. Standard library only; nothing here knows the time."""
