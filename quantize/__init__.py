"""Precisions: how a tensor is stored in few bits; what is chosen under a budget; the one file."""

from __future__ import annotations

from quantize.bundle.content import BundleContent, BundleMember, read_bundle, write_bundle
from quantize.bundle.inference import Bundle, LoadedMember
from quantize.bundle.layout import MemberLayout, TensorLayout, bundle_bytes
from quantize.errors import BudgetError, BundleError
from quantize.precision import PRECISIONS, Codes, Precision, dequantize, quantize
from quantize.selection.curve import best_under, curve, curve_rows
from quantize.selection.problem import Option, Problem, Solution
from quantize.selection.solver import Solver, solve
from quantize.state import QuantizedState, quantize_state

__all__ = [
    "PRECISIONS",
    "BudgetError",
    "Bundle",
    "BundleContent",
    "BundleError",
    "BundleMember",
    "Codes",
    "LoadedMember",
    "MemberLayout",
    "Option",
    "Precision",
    "Problem",
    "QuantizedState",
    "Solution",
    "Solver",
    "TensorLayout",
    "best_under",
    "bundle_bytes",
    "curve",
    "curve_rows",
    "dequantize",
    "quantize",
    "quantize_state",
    "read_bundle",
    "solve",
    "write_bundle",
]
