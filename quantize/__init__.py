"""Precisions: how a tensor is stored in few bits; what is chosen under a budget; the one file."""

from quantize import precisions as precisions  # adds the project's own
from quantize.bundle.content import BundleMember, read_bundle, write_bundle
from quantize.bundle.inference import Bundle
from quantize.bundle.layout import MemberLayout, bundle_bytes
from quantize.bundle.tags import Tag
from quantize.errors import BudgetError, BundleError
from quantize.precision import (
    Codes,
    Precision,
    dequantize,
    get_precision,
    list_precisions,
    quantize,
    register_precision,
)
from quantize.selection.curve import curve_rows
from quantize.selection.problem import Option, Problem, Solution
from quantize.state import QuantizedState, quantize_state

__all__ = [
    "BudgetError",
    "Bundle",
    "BundleError",
    "BundleMember",
    "Codes",
    "MemberLayout",
    "Option",
    "Precision",
    "Problem",
    "QuantizedState",
    "Solution",
    "Tag",
    "bundle_bytes",
    "curve_rows",
    "dequantize",
    "get_precision",
    "list_precisions",
    "quantize",
    "quantize_state",
    "read_bundle",
    "register_precision",
    "write_bundle",
]
