"""The project's own stages: importing this module registers them, in the order of the listing."""

# ruff: noqa: F401
# isort: skip_file

from stages import synthesize, plan, teachers, ensemble, distill, pack, predict, evaluate, export
from stages import report
from stages import all
