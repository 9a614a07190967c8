"""What `budget=` says: how large a bundle may be, or several of them."""

from common.errors import ConfigError
from common.problems import quoted
from common.units import parse_bytes


def parse_budgets(written: str | tuple[str, ...]) -> dict[str, int]:
    """Bytes of one budget or of several, by how each is written, which is a folder's name.

    Raises:
        ConfigError: there is none, or two are the same.
        UserError: one is not so many bytes.
    """
    texts = (written,) if isinstance(written, str) else written
    if not texts:
        raise ConfigError("budget: an empty list; give one such as 1GiB, or several, [1MB,2MB]")
    found: dict[str, int] = {}
    for text in texts:
        count = parse_bytes(text)
        if count in found.values():
            raise ConfigError(f"budget: {quoted(text)} is there twice; give each once")
        found["".join(text.split())] = count
    return found
