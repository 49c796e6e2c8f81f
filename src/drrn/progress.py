"""How long work reports its progress: to a printer, to another process, or to a test."""

from typing import NamedTuple, Protocol, TypeVar

Event = TypeVar("Event", contravariant=True)


class Progress(Protocol[Event]):
    """Receives the events of one kind of work; the module that does the work defines them."""

    def report(self, event: Event, /) -> None:
        """Receive an event. An exception raised here ends the work."""


class Note(NamedTuple):
    """A sentence for the user, which any work may report."""

    sentence: str
