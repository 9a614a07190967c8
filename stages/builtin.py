"""The project's own stages: importing this module registers them, in the order of the listing."""

# ruff: noqa: F401
# isort: skip_file

from stages import synthesize, explore, plan, teachers, ensemble, distill, pack, predict, evaluate
from stages import export, report
from stages import all
