"""The project's own stages: importing this module registers them, in the order of the listing."""

# ruff: noqa: F401
# isort: skip_file

from stages import synthesize, explore, plan, tune, teachers, ensemble, distill, pack, predict
from stages import evaluate, export, report
from stages import all
