"""Bytes and times as a person writes and reads them."""

import re
from decimal import Decimal

from common.errors import UserError

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SECONDS = {"": 60.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PATTERN = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{0,3})\s*")


def parse_bytes(value: str | int, key: str = "budget") -> int:
    """Bytes from `1GiB`, `600MB`, `1.5 GB`, `1000000000`; kB, MB, GB are powers of 1,000.

    Upper and lower case are one; a part of a byte is left out.

    Raises:
        UserError: It is not so written, or comes to less than one byte.

    Example:
        >>> parse_bytes("1GiB"), parse_bytes("300 kB"), parse_bytes(1000)
        (1073741824, 300000, 1000)
    """
    match = _PATTERN.fullmatch(str(value))
    if isinstance(value, bool) or match is None or match[2].lower() not in _UNITS:
        known = match is not None and match[2].lower() + "b" in _UNITS
        meant = f"; did you mean {value}B or {value}iB?" if known and match else ""
        raise UserError(f"{key}={value}: write bytes such as 1GiB, 600MB or 1000000000{meant}")
    count = int(Decimal(match[1]) * _UNITS[match[2].lower()])
    if count < 1:
        raise UserError(f"{key}={value}: at least one byte is needed")
    return count


def parse_seconds(value: str | float, key: str) -> float:
    """Seconds from `2h`, `90m`, `1.5 h`, `45s`, or minutes, `120`.

    Raises:
        UserError: It is not so written, or is nothing.

    Example:
        >>> parse_seconds("2h", "time_limit"), parse_seconds(120, "time_limit")
        (7200.0, 7200.0)
    """
    match = _PATTERN.fullmatch(str(value))
    unit = match[2].lower() if match else ""
    if isinstance(value, bool) or match is None or unit not in _SECONDS or float(match[1]) == 0:
        raise UserError(f"{key}={value}: write a time such as 2h, 90m or 45s, or minutes, 120")
    return float(match[1]) * _SECONDS[unit]


def format_bytes(count: int) -> str:
    """Bytes for a table, in the units of the papers (MB is 10**6 bytes).

    Example:
        >>> format_bytes(369_240_000), format_bytes(2**30), format_bytes(12_345), format_bytes(17)
        ('369.2 MB', '1,073.7 MB', '12.3 kB', '17 B')
    """
    if count < 1_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1_000:.1f} kB"
    return f"{count / 1_000_000:,.1f} MB"


def format_seconds(seconds: float) -> str:
    """A time as minutes and seconds, from an hour on with hours.

    Example:
        >>> format_seconds(7.6), format_seconds(754), format_seconds(7 * 3600 + 60)
        ('0:08', '12:34', '7:01:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
