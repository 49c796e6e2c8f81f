"""What can go wrong that a user can mend, each in one sentence. Anything else is a bug and keeps its traceback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class DRRNError(Exception):
    """The base of them all. An app prints its sentence without a traceback and exits with 2."""

    source = ""
    """The file it is about, if it is about one of those on the command line."""


class UsageError(DRRNError):
    """What was asked for can't be done: a scale out of range, a size that fits no scale, a missing extra."""


class ImageError(DRRNError):
    """A picture can't be read or written: it is missing, damaged, too large, or of a kind not supported."""


class WeightsError(DRRNError):
    """A weights file is missing, damaged, hostile, or of another network."""


class DataError(DRRNError):
    """A folder of training or benchmark pictures is missing, empty, or does not fit together."""


class TrainingError(DRRNError):
    """A training can't start, go on or be resumed."""


class DivergedError(TrainingError):
    """What a training computes is not finite any more: a result of its recipe, not of its surroundings."""


class TooLittleMemoryError(TrainingError):
    """A training needs more memory than there is."""


class EngineError(DRRNError):
    """An engine is not to be had here, ran out of memory, or computed something that is no picture."""


class StorageError(DRRNError):
    """A folder or a bucket of very many files can't be listed, read or written."""


class StudyError(DRRNError):
    """A study names experiments that are not there, or its folder holds something else."""


@contextmanager
def translate_errors(
    describe: Callable[[Exception], str | None], error_class: type[DRRNError] = ImageError, *, keep_cause: bool = True
) -> Iterator[None]:
    """Turn what a library raises in the block into one sentence of ours. A DRRNError passes as it is.

    Args:
        describe: the sentence for an exception; None lets the exception pass.
        error_class: of the error that is raised.
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
    """The text, such as the name of a file, on one line and printable, whatever is in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
