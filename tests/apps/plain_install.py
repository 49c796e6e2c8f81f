"""Run command lines as in an install without extras: their packages can't be imported.

Reads a JSON list of command lines from stdin; writes a JSON list of [exit code, stdout and stderr].
"""

import contextlib
import io
import json
import sys
import traceback
from importlib.abc import MetaPathFinder
from typing import Any

EXTRAS = (
    "torch lightning_fabric tensorboard onnx onnxruntime openvino matplotlib pydicom rasterio av flip_evaluator "
    "markdown_it scipy filelock optuna sqlalchemy skimage obstore ray starlette uvicorn"
)


class Missing(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        root = fullname.partition(".")[0]
        if root in EXTRAS.split():
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=root)


def run(args: list[str]) -> tuple[int, str]:
    from drrn.apps import cli

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        sys.argv = ["drrn", *args]
        code: Any = 1
        try:
            cli.main(args)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
    return code, printed.getvalue()


def block() -> None:
    """Make imports of the extras' packages fail."""
    sys.meta_path.insert(0, Missing())


if __name__ == "__main__":
    results = [run(args) for args in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(results))
