"""Broken files are read or refused, a few hundred of each format here (`make fuzz` tries many more); and the harness
sees it where they are not."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drrn.errors import ImageError
from drrn.media.image import Image
from drrn.media.images.files import read, write
from tests.conftest import ROOT
from tests.hostile import misbehaving
from tests.hostile.formats import FORMATS
from tests.hostile.harness import Campaign, Limits, Tally, campaign
from tests.hostile.mutations import mutated
from tests.hostile.report import Entry, Report

FOUND = Path(__file__).parent / "found"
BUSY = Limits(seconds=60, patience=120)
"""Only a hang takes this long, even on a slow and busy machine."""


@pytest.fixture(scope="module")
def trial() -> Iterator[Campaign]:
    with campaign(limits=BUSY) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_read_or_refused_in_one_line(name: str, trial: Campaign) -> None:
    each = FORMATS[name].quick
    tally = trial.run(name, each)
    assert not tally.findings, tally.findings[0]
    assert tally.read + tally.refused == tally.inputs == each and min(tally.read, tally.refused) > 0, tally


@pytest.mark.parametrize("path", sorted(FOUND.iterdir()), ids=lambda path: path.name)
def test_earlier_findings_are_read_or_refused(path: Path, trial: Campaign) -> None:
    tally = trial.retry(path.name.partition("-")[0], path)
    assert tally.read + tally.refused == 1, tally.findings


@pytest.mark.parametrize("name", FORMATS)
def test_a_number_always_gives_the_same_mutation(name: str) -> None:
    form = FORMATS[name]
    seeds = form.seeds()
    files = [mutated(form, seeds, number) for number in range(50)]
    assert files == [mutated(form, seeds, number) for number in range(50)]
    assert len(set(files)) > 40 and all(isinstance(file, bytes) for file in files)


@pytest.mark.parametrize("name", FORMATS)
def test_every_seed_file_has_fields_to_mutate(name: str) -> None:
    form = FORMATS[name]
    for seed in form.seeds():
        fields = list(form.fields(seed))
        assert fields or form.is_text
        assert all(field.at >= 0 and field.at + field.size <= len(seed) for field in fields)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    output = tmp_path_factory.mktemp("found")
    with campaign("tests.hostile.misbehaving", output=output) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("name", misbehaving.FORMATS)
def test_every_kind_of_failure_is_counted_recorded_and_survived(name: str, strict: Campaign) -> None:
    inputs = 3 if name == "hung" else 12
    strict.limits = Limits(megabytes=50, seconds=60, patience=2 if name == "hung" else 120)
    tally = strict.run(name, inputs)
    failure = name.partition(",")[0]
    assert tally.inputs == inputs and getattr(tally, failure) == len(tally.findings) > 0
    assert tally.read + tally.refused == inputs - len(tally.findings) > 0
    first = tally.findings[0]
    assert strict.output
    (path,) = strict.output.glob(f"{name}-{first.sha256[:12]}*")
    assert strict.retry(name, path).findings[0].what == first.what


def test_a_worker_that_does_not_start_is_not_a_finding() -> None:
    with campaign() as running, pytest.raises(RuntimeError, match=r"did not start: .*"):
        running.run("absent", 1)


def test_the_page_follows_from_the_json_next_to_it() -> None:
    text = (ROOT / "docs/hostile.json").read_text()
    report = Report.from_json(text)
    assert report.to_json() == text and report.to_markdown() == (ROOT / "docs/reference/hostile.md").read_text()
    for entry in report.entries:
        tally = entry.tally
        counts = tally.read + tally.refused + tally.crashed + tally.hung + tally.greedy + tally.other
        assert counts == tally.inputs and len(tally.findings) == tally.inputs - tally.read - tally.refused


def test_a_report_lists_each_format_once() -> None:
    def entry(inputs: int) -> Entry:
        return Entry(Tally("PNG", inputs=inputs), "", "", "2026-01-01", {"cpu": "", "system": ""}, False)

    report = Report([]).with_entry(entry(1)).with_entry(entry(2))
    assert [each.tally.inputs for each in report.entries] == [2] and json.loads(report.to_json())


def test_the_message_about_one_file_is_not_repeated_for_the_next(tmp_path: Path) -> None:
    """libvips quotes bytes of this file that are not text, which pyvips would keep for the next error."""
    with pytest.raises(ImageError, match=r"is an AVIF that is damaged or cut short\.$"):
        read(FOUND / "AVIF-0ebbf15d2def.avif")
    valid, truth = tmp_path / "good.png", Image(pixels=np.zeros((3, 4, 1), np.float32))
    write(truth, valid)
    assert np.array_equal(read(valid).pixels, truth.pixels)
    cut = tmp_path / "cut.png"
    cut.write_bytes(valid.read_bytes()[:-20])
    with pytest.raises(ImageError, match="damaged or cut short"):
        read(cut)
