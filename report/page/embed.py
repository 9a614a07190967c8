"""How values are laid into a page: whatever they hold, they stay values."""

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

_LONGEST, _LONGEST_IN_CHART = 300, 60
_DIGITS = 6
# Joiners within words and emoji; all other characters that cannot be seen are written out.
_UNSEEN_BUT_MEANT = frozenset("\n\u200c\u200d")


def visible(text: str) -> str:
    r"""A text with what cannot be seen in it written out.

    Characters that turn the direction of writing would change what stands around them.

    Example:
        >>> visible("cat\u202e"), visible("tea\x00")
        ('cat\\u202e', 'tea\\x00')
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _UNSEEN_BUT_MEANT else ascii(c)[1:-1] for c in text)


def plain(value: Any) -> Any:
    """A value as JSON can say it: arrays as lists, floats with six digits, NaN as None.

    Texts are cut where they are far too long for a name.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, str):
        return visible(value if len(value) <= _LONGEST else value[:_LONGEST] + "…")
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    return value


def chart_values(value: Any, longest: int = _LONGEST_IN_CHART) -> Any:
    """A plain value for Plotly: no text of it is taken for markup, and none fills the chart.

    Plotly reads tags and entities in every text, be it a name, a tick or a hover label.
    """
    if isinstance(value, str):
        text = value if len(value) <= longest else value[:longest] + "…"
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, dict):
        return {
            key: chart_values(own, _LONGEST if key == "hovertemplate" else longest)
            for key, own in value.items()
        }
    if isinstance(value, list):
        return [chart_values(own, longest) for own in value]
    return value


def json_text(value: Any) -> Markup:
    """A plain value as JSON that may stand in a `<script>`: it holds no `<`, `>`, `&`, U+2028."""
    return htmlsafe_json_dumps(value, json.dumps, allow_nan=False, separators=(",", ":"))


def packed(script: str) -> str:
    """A script as the page unpacks it: gzip, then base64; the same script gives the same text."""
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()


def policy(scripts: list[str], styles: str = "'unsafe-inline'") -> str:
    """A content security policy by which these scripts run, and nothing else does.

    Neither does what stands in an attribute such as `onerror`, and nothing is loaded from anywhere.
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {styles}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
