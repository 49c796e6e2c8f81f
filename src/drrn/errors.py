"""Errors that a user can fix, each in one sentence. Anything else is a bug and keeps its traceback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class DRRNError(Exception):
    """The base class. An app prints the sentence without a traceback and exits with 2."""

    source = ""
    """The file it is about, if it is about one of those on the command line."""


class UsageError(DRRNError):
    """The request is not possible: a scale out of range, a size that fits no scale, a missing extra."""


class ImageError(DRRNError):
    """An image can't be read or written: it is missing, damaged, too large, or of an unsupported kind."""


class WeightsError(DRRNError):
    """A weights file is missing, damaged, malicious, or of another network."""


class DataError(DRRNError):
    """A folder of training or benchmark images is missing or empty, or its files do not fit together."""


class TrainingError(DRRNError):
    """A training can't start, continue or be resumed."""


class DivergedError(TrainingError):
    """A training computes values that are not finite: a result of its recipe, not of its surroundings."""


class TooLittleMemoryError(TrainingError):
    """A training needs more memory than there is."""


class EngineError(DRRNError):
    """An engine is not available here, ran out of memory, or computed values that are not finite."""


class StorageError(DRRNError):
    """A folder or bucket of a bulk job can't be listed, read or written."""


class StudyError(DRRNError):
    """A study names experiments that do not exist, or its folder holds something else."""


@contextmanager
def translate_errors(
    describe: Callable[[Exception], str | None], error_class: type[DRRNError] = ImageError, *, keep_cause: bool = True
) -> Iterator[None]:
    """Translate what a library raises in the block into one sentence of ours. A DRRNError passes unchanged.

    Args:
        describe: returns the sentence for an exception; None lets the exception pass.
        error_class: the class of the error that is raised.
        keep_cause: whether it names the exception as its cause; off where a traceback could quote private data.
    """
    try:
        yield
    except DRRNError:
        raise
    except Exception as error:
        sentence = describe(error)
        if sentence is None:
            raise
        raise error_class(sentence) from (error if keep_cause else None)


def printable(text: object) -> str:
    """Return the text, such as the name of a file, on one line and without unprintable characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
