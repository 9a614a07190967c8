"""Object storage (S3, Google Cloud Storage) through fsspec: what reading and writing share.

Who asks is the environment's to say (`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`,
`GOOGLE_APPLICATION_CREDENTIALS`, ..., or the machine's own role), as the libraries find it: a URL
has no place for it here, and no message repeats it.

A file system is asked for where it is used, and not kept: fsspec keeps it, one for each process.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar
from urllib.parse import urlsplit

from common.errors import ConfigError, UserError
from common.problems import one_line

CONNECTIONS = 16
"""How many requests a process has under way at most."""

# By scheme: the package that fsspec needs, and the extra that brings it.
_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# The libraries try again themselves; these are for what they let pass, such as a 503 that they met
# three times.
_ATTEMPTS, _FIRST_PAUSE = 5, 0.2
# Nothing that time would mend.
_LASTING = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError)
# Packages whose exceptions are of the storage, or of the way to it, and not all OSErrors.
_LIBRARIES = {"aiobotocore", "aiohttp", "asyncio", "botocore", "fsspec", "gcsfs", "google", "s3fs"}
_SECRETS = re.compile(r"^(AWS|FSSPEC)_.*(KEY|SECRET|TOKEN|PASSWORD)")
_IN_URL = re.compile(r"(?<=://)[^/\s@]*@|\?[^\s\"'<>]*")
T = TypeVar("T")


class ObjectError(UserError):
    """Object storage cannot be used; the message is one line, which names the URL."""


@dataclass(frozen=True)
class StoredObject:
    """An object as its storage describes it.

    Attributes:
        name: Its key, below the URL that was listed.
        size: Bytes.
        version: The ETag, which is another one for another content.
    """

    name: str
    size: int
    version: str


def is_object_url(text: object) -> bool:
    """Whether a path is no path, but the URL of a storage of objects."""
    found = _SCHEME.match(str(text))
    return found is not None and found[1].lower() in _PACKAGES


def object_url(text: str, key: str) -> str:
    """A URL of objects that can be used here, without a slash at its end.

    Args:
        text: `s3://bucket/prefix` or `gs://bucket/prefix`.
        key: Whose value it is, for messages.

    Raises:
        ConfigError: As in `plain_url`, or its package is not installed.
    """
    url = plain_url(text, key)
    package, extra = _PACKAGES[url.partition(":")[0]]
    if find_spec(package) is None:
        raise ConfigError(f"{key}={url}: needs a package: pip install -e '.[{extra}]'")
    return url


def plain_url(text: str, key: str) -> str:
    """A URL of objects that holds bucket and prefix, without a slash at its end.

    Raises:
        ConfigError: It is none, or it holds more, such as credentials.
    """
    url = urlsplit(text)
    scheme = url.scheme.lower()
    if scheme not in _PACKAGES:
        raise ConfigError(f"{key}: no URL of objects; give s3://bucket/prefix or gs://...")
    if "@" in url.netloc or url.query or url.fragment:
        # Not repeated: it may be a password.
        raise ConfigError(
            f"{key}: the URL holds more than bucket and prefix; credentials come from the "
            "environment, such as AWS_PROFILE or AWS_ACCESS_KEY_ID"
        )
    parts = url.path.strip("/").split("/") if url.path.strip("/") else []
    if not url.netloc or not all(map(_is_plain, parts)):
        raise ConfigError(f"{key}={text}: give {scheme}://bucket/prefix, with no part empty or ..")
    return "/".join([f"{scheme}://{url.netloc}", *parts])


def file_system(url: str) -> Any:
    """The fsspec file system of a URL; it keeps no listings, which others may make untrue."""
    import fsspec

    if url.startswith("s3:"):
        settings = {
            "max_pool_connections": CONNECTIONS,
            "retries": {"mode": "standard", "total_max_attempts": 3},
        }
        return fsspec.filesystem("s3", use_listings_cache=False, config_kwargs=settings)
    return fsspec.filesystem("gs", use_listings_cache=False)


def list_objects(url: str) -> list[StoredObject]:
    """All objects below a URL, in the order of their names; of folders' markers none.

    Raises:
        ObjectError: There is no such bucket, or it cannot be read.
    """

    def find() -> dict[str, dict[str, Any]]:
        return file_system(url).find(url, detail=True)  # type: ignore[no-any-return]

    found = attempted(url, find).items()
    above = url.partition("://")[2] + "/"
    described = (
        _described(key.removeprefix(above), about) for key, about in found if key.startswith(above)
    )
    # A key may hold what a path must not.
    plain = (each for each in described if all(map(_is_plain, each.name.split("/"))))
    return sorted(plain, key=lambda each: each.name)


def describe_object(url: str) -> StoredObject | None:
    """What a URL names, with its last part as its name; None where there is no such object.

    Raises:
        ObjectError: The storage cannot be read.
    """

    def info() -> dict[str, Any] | None:
        try:
            about: dict[str, Any] = file_system(url).info(url)
        except FileNotFoundError:
            return None
        return about if about["type"] == "file" else None

    about = attempted(url, info)
    return None if about is None else _described(url.rpartition("/")[2], about)


def read_range(url: str, stored: StoredObject, start: int, end: int) -> bytes:
    """The bytes of an object from one place to another.

    Args:
        url: Of the object.
        stored: As it was described.
        start: Of the first byte.
        end: Behind the last byte; more than `start`.

    Raises:
        ObjectError: There is no such object, or it is another by now.
    """

    def read() -> bytes:
        data = _read_s3(url, stored.version, start, end) if url.startswith("s3:") else _read()
        if len(data) != end - start:
            raise OSError(f"{len(data)} bytes came of {end - start} from byte {start} on")
        return data

    def _read() -> bytes:
        data: bytes = file_system(url).cat_file(url, start=start, end=end)
        found = describe_object(url)
        if found is None or found.version != stored.version:
            raise _changed(url)
        return data

    return attempted(url, read)


def _read_s3(url: str, version: str, start: int, end: int) -> bytes:
    """What S3 gives only as long as the object is that of an ETag."""
    from fsspec.asyn import sync

    system = file_system(url)
    bucket, key, _ = system.split_path(url)
    wanted = {"Range": f"bytes={start}-{end - 1}", "IfMatch": f'"{version}"'}

    async def get() -> bytes:
        answer = await system._call_s3("get_object", Bucket=bucket, Key=key, **wanted)
        async with answer["Body"] as body:
            data: bytes = await body.read()
            return data

    try:
        data: bytes = sync(system.loop, get)
        return data
    except OSError as error:
        if is_refusal(error):
            raise _changed(url) from None
        raise


def is_refusal(error: OSError) -> bool:
    """Whether a storage did not do what was asked for since a condition of that fails (412)."""
    # So says gcsfs, and s3fs of servers that name `If-None-Match` in their answer.
    if isinstance(error, FileExistsError):
        return True
    answer = getattr(error.__cause__, "response", {})
    return answer.get("Error", {}).get("Code") in ("PreconditionFailed", "412")


def _changed(url: str) -> ObjectError:
    return ObjectError(f"{url}: changed since it was listed; start again")


def attempted(url: str, request: Callable[[], T]) -> T:
    """The result of requests that may be sent again; what may pass by itself is tried again.

    Raises:
        ObjectError: It did not pass within some seconds, or will not; names `url` and the cause,
            and no credentials.
    """
    for pause in _pauses():
        try:
            return request()
        except Exception as error:
            if not _is_of_storage(error):
                raise
            if isinstance(error, _LASTING) or _is_of_credentials(error) or pause is None:
                raise ObjectError(f"{url}: {_reason(error)}") from None
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _pauses() -> Iterator[float | None]:
    """Seconds to wait after each attempt; None after the last."""
    for attempt in range(_ATTEMPTS - 1):
        yield _FIRST_PAUSE * 2**attempt
    yield None


def _is_of_storage(error: Exception) -> bool:
    if isinstance(error, UserError):
        return False
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _LIBRARIES


def _is_of_credentials(error: Exception) -> bool:
    return "Credential" in type(error).__name__


def _reason(error: Exception) -> str:
    """The cause in a line, without what tells who asked."""
    if isinstance(error, FileNotFoundError):
        return "no such object or bucket"
    text = _IN_URL.sub("", str(error)) or type(error).__name__
    secrets = (value for name, value in os.environ.items() if _SECRETS.match(name) and value)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    text = one_line(Exception(text))
    if isinstance(error, PermissionError) or _is_of_credentials(error):
        return f"{text}; credentials come from the environment, such as AWS_PROFILE"
    return text


def _described(name: str, about: dict[str, Any]) -> StoredObject:
    version = about.get("ETag") or about.get("etag") or ""
    return StoredObject(name, int(about["size"]), str(version).strip('"'))


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..")
