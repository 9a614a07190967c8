"""The project's own stages: importing this module registers them, in the order of the listing."""

# ruff: noqa: F401
# isort: skip_file

from stages import synthesize, importing, explore, plan, tune, teachers, ensemble, distill, pack
from stages import predict, evaluate, export, report
from stages import all
