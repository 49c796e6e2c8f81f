"""Put the results of a study that ran on several machines into one folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from drrn.atomic import write_bytes
from drrn.errors import StudyError
from drrn.study.result import NAME, Result, group_results, read_result


def merge(folders: Sequence[Path], output: Path) -> int:
    """Copy every `result.json` of `folders` to `output/EXPERIMENT/seed-N`, unless it is there.

    Two results of one experiment and seed count as one if they agree; times and machines may differ, and those of the
    first are kept.

    Returns:
        The number of results in `output`.

    Raises:
        StudyError: a result is damaged, two differ, they belong to several studies, or a file can't be written. Except
            in the last case, nothing is copied.
    """
    found: dict[Path, tuple[Path, Result]] = {}
    for folder in (output, *folders):
        if not folder.is_dir() and folder is not output:
            raise StudyError(f"No folder {folder}. Give the folders of `drrn study run`.")
        for path in sorted(folder.rglob(NAME)):
            result = read_result(path)
            target = output / result.name / f"seed-{result.experiment.seed}" / NAME
            known_path, known = found.setdefault(target, (path, result))
            if _without_times(known) != _without_times(result):
                raise StudyError(
                    f"{known_path} and {path} are of the same experiment and seed, and differ. Leave one of them out."
                )
    group_results(((path, result) for path, result in found.values()), " and ".join(map(str, folders)))
    for target, (path, _) in found.items():
        if target == path:
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, path.read_bytes())
        except OSError as error:
            raise StudyError(f"{target} can't be written: {error.strerror or error}.") from error
    return len(found)


def _without_times(result: Result) -> Result:
    """Return the parts that a second run on another machine must reproduce."""
    rows = tuple(
        replace(row, seconds=None, peak_mb=None, images=[replace(image, seconds=0) for image in row.images])
        for row in result.scores
    )
    return replace(
        result, scores=rows, seconds=(), cpu_seconds=(), seconds_per_megapixel=None, peak_mb=None, machine={}, commit=""
    )
