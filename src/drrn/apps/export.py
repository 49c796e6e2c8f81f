"""`drrn export`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from drrn.errors import UsageError
from drrn.weights import DEFAULT


def export(
    output: Positional[Path],
    /,
    *,
    model: Annotated[str, arg(aliases=["-m"])] = DEFAULT,
    scale: Annotated[float | None, arg(aliases=["-s"])] = None,
    network: bool = False,
    units: int | None = None,
    overwrite: bool = False,
) -> int:
    """Export a model as ONNX, for programs without drrn, after checking its results in ONNX Runtime.

    The exported model turns planes enlarged by bicubic (ilr) into sharpened ones (sr): float32, any size. With --scale
    it turns an 8-bit RGB picture into the enlarged one, including everything that `drrn upscale` does.

    Args:
        output: The file to write, ending in .onnx.
        model: A packaged model (`drrn models list`) or a weights file.
        scale: Include the enlargement by this scale, above 1 and at most 8.
        network: Export only the network; if each scale has its own, the one for --scale.
        units: Residual units to run, for models trained with several: fewer are faster.
        overwrite: Replace an existing output.
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output} must end in .onnx.")
    try:
        from drrn.engines import export as engine
    except ModuleNotFoundError as error:
        raise UsageError(f"Exporting needs {error.name}. Install it: pip install 'drrn[onnx]'.") from error
    from drrn.upscaling.size import target_size
    from drrn.weights import store

    if scale is not None:
        target_size(1, 1, scale, None)  # refuses what `drrn upscale` does
    weights = store.load(model)
    if scale is None and weights.larger:
        raise UsageError(f"{model} has a network for each of several scales. Give the --scale to export.")
    if network and scale is not None:
        weights, scale = replace(weights.network(scale), larger={}), None
    checked = engine.export(weights, output, units=units, scale=scale, overwrite=overwrite)
    found = (
        f"at most {checked.difference:.1g} off"
        if scale is None
        else f"at most {checked.difference:.0f} of 255 off, in {checked.differing:.2%} of the samples"
    )
    sizes = ", ".join(f"{width}x{height}" for height, width in engine.SIZES)
    print(f"{output} · ONNX Runtime and {checked.engine} agree on {sizes}: {found}")
    return 0
