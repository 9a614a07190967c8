"""Errors that every room may raise."""

from __future__ import annotations


class ConfigError(ValueError):
    """A value of the configuration is wrong; the message names its key."""
