"""Exceptions of libraries are translated into one sentence."""

import pytest

from drrn.errors import DRRNError, ImageError, UsageError, translate_errors


def describe(error: Exception) -> str | None:
    return f"a.png can't be read: {error}." if isinstance(error, OSError) else None


def test_an_exception_is_translated_and_kept_as_the_cause() -> None:
    with pytest.raises(ImageError, match=r"a\.png can't be read: gone\.") as caught, translate_errors(describe):
        raise OSError("gone")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_cause_with_private_data_is_hidden() -> None:
    with pytest.raises(UsageError) as caught, translate_errors(describe, UsageError, keep_cause=False):
        raise OSError("Secret^Patience")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize("error", [DRRNError("ours"), ValueError("a bug"), KeyboardInterrupt()])
def test_drrn_errors_bugs_and_signals_pass_unchanged(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translate_errors(describe):
        raise error
    assert caught.value is error
