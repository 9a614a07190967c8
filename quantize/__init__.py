"""Precisions: how a tensor is stored in few bits; what is chosen under a budget; the one file."""

from typing import TYPE_CHECKING

from common.on_demand import exports_of

if TYPE_CHECKING:
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
    from quantize.selection.option import Option
    from quantize.selection.problem import Problem, Solution
    from quantize.state import QuantizedState, quantize_state
else:
    __getattr__ = exports_of(__name__, __file__)

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
