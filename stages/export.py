"""Stage `export`: a bundle as one ONNX file, which onnxruntime runs without this project."""

import importlib.util
from pathlib import Path

from common.errors import ConfigError
from common.files import write_bytes
from quantize.bundle.content import read_bundle
from stages.packing.bundles import BUNDLE_FOLDER, find_bundle
from stages.stage import stage
from stages.workspace import Workspace

ONNX_NAME = "bundle.onnx"
_PACKAGES = ("onnx_ir", "onnxscript")


@stage("export", help="a bundle to one ONNX file", needs=("pack",))
def export(workspace: Workspace) -> Path:
    """Writes the ONNX file of `bundle=`, by default the run's own, and returns its path.

    Raises:
        ConfigError: there is no such bundle, or the extra `onnx` is not installed.
        BundleError: it is no bundle, or holds a family of which no ONNX graph can be made.
    """
    if any(importlib.util.find_spec(package) is None for package in _PACKAGES):
        raise ConfigError(
            "stage=export: needs packages that are not installed: pip install -e '.[onnx]'"
        )
    from quantize.onnx.graph import onnx_bytes

    bundle = find_bundle(workspace)
    content = read_bundle(bundle)
    own = workspace.run.root / BUNDLE_FOLDER
    folder = bundle.parent if bundle.resolve().is_relative_to(own.resolve()) else own
    output = Path(workspace.config.output or folder / ONNX_NAME)
    write_bytes(output, onnx_bytes(content))
    return output
