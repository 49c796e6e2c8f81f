"""Tables, numbers and plurals as text."""

import pytest

from drrn.tables import columns, markdown, number, plural

LINES = [["tiny", "x2", "9.5"], ["a", "x2 to x4", "120"]]


def test_a_markdown_table_aligns_numbers_right() -> None:
    assert markdown(["model", "PSNR"], [["a", "30"]]) == "| model | PSNR |\n| --- | ---: |\n| a | 30 |"
    assert markdown(["model", "by"], [["a", "b"]], texts=2) == "| model | by |\n| --- | --- |\n| a | b |"
    assert markdown(["model"], []) == "| model |\n| --- |"


def test_a_padded_table_lines_up_in_the_source() -> None:
    assert markdown(["", "scales", "s/MP"], LINES, texts=2, padded=True).splitlines() == [
        "|      | scales   | s/MP |",
        "| ---- | -------- | ---: |",
        "| tiny | x2       |  9.5 |",
        "| a    | x2 to x4 |  120 |",
    ]


def test_a_table_for_a_terminal_has_no_rule() -> None:
    assert columns(["", "scales", "s/MP"], LINES, texts=2).splitlines() == [
        "      scales    s/MP",
        "tiny  x2         9.5",
        "a     x2 to x4   120",
    ]


def test_a_table_row_with_a_missing_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        markdown(["a", "b"], [["1"]])


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 threads"), (1, "1 thread"), (2, "2 threads"), (1024, "1,024 threads")]
)
def test_a_count_of_one_is_singular(count: int, text: str) -> None:
    assert plural(count, "thread") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(123.4, "123"), (1230, "1230"), (12.34, "12.3"), (9.999, "10.0"), (0.001234, "0.00123"), (1, "1.00"), (0, "0")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
