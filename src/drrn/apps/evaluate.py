"""`drrn evaluate`."""

from pathlib import Path

from tyro.conf import Positional

from drrn.engines import EngineName
from drrn.errors import UsageError
from drrn.weights import DEFAULT


def evaluate(
    models: Positional[tuple[str, ...]] = (DEFAULT,),
    /,
    *,
    data: tuple[Path, ...],
    scales: tuple[float, ...] = (2, 3, 4),
    markdown: Path | None = None,
    json: Path | None = None,
    units: int | None = None,
    device: str = "auto",
    engine: EngineName = "auto",
    threads: int = 0,
) -> int:
    """Evaluate models by the protocol of the papers: bicubic first, then published results, then the models.

    Args:
        models: Packaged names or weights files. Models of the same name are listed by their paths.
        data: Folders of original pictures: Set5, Set14, BSD100, or your own.
        scales: Factors, above 1 and at most 8.
        markdown: Write the table to this file.
        json: Write all scores of all pictures to this file.
        units: Residual units to run, for models trained with several.
        device: Where to compute: auto, cpu, cuda, mps.
        engine: The engine, as in `drrn upscale`.
        threads: CPU threads, 0 for all cores.
    """
    if not data or not scales:
        raise UsageError("No folders or no scales given. Try: drrn evaluate --data Set5")
    from rich.console import Console
    from rich.table import Column, Table

    from drrn.atomic import write_text
    from drrn.core.metrics import PROTOCOL
    from drrn.evaluation.benchmark import evaluate as evaluate_models
    from drrn.evaluation.naming import load_models
    from drrn.evaluation.table import legend, lines, to_json, to_markdown
    from drrn.upscaling.upscaler import Upscaler

    console, aside = Console(soft_wrap=True), Console(stderr=True, highlight=False)
    upscalers = [
        Upscaler(weights, engine=engine, units=units, device=device, threads=threads) for weights in load_models(models)
    ]
    rows = []
    with aside.status("evaluating") as status:
        for row in evaluate_models(upscalers, data, scales, note=lambda sentence: aside.print(sentence)):
            rows.append(row)
            status.update(f"evaluated {row.model} on {row.data} x{row.scale:g}")
    if markdown:
        write_text(markdown, to_markdown(rows))
    if json:
        write_text(json, to_json(rows))
    console.print(f"PSNR (dB) / SSIM. {PROTOCOL}.", highlight=False)
    for data_name in dict.fromkeys(row.data for row in rows):
        head, *body = lines(rows, data_name)
        table = Table(*(Column(name, no_wrap=True) for name in head), box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for line in body:
            table.add_row(*line)
        console.print(table)
    console.print(legend(rows), highlight=False)
    return 0
