"""Tables, pictures and scores made from what stages return."""

from typing import TYPE_CHECKING

from common.on_demand import exports_of

if TYPE_CHECKING:
    from report.performed import perform
    from report.score import score_of
    from report.stages import print_stages
else:
    __getattr__ = exports_of(__name__, __file__)

__all__ = ["perform", "print_stages", "score_of"]
