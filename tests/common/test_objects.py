"""Object storage: URLs, requests that fail, and errors that tell nobody's secrets."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from common import objects
from common.errors import ConfigError
from common.objects import (
    ObjectError,
    StoredObject,
    describe_object,
    is_object_url,
    list_objects,
    object_url,
    read_range,
)
from tests.object_storage import SECRET, SECRET_ID, ObjectServer


def test_what_is_a_url_of_objects() -> None:
    assert all(map(is_object_url, ("s3://bucket/x", "gs://bucket", "S3://bucket")))
    assert not any(map(is_object_url, ("/data", "data/s3", "http://x/y", "file:///x", "c:/x")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://me:hidden@bucket/x", "credentials come from the environment"),
        ("s3://bucket/x?X-Amz-Signature=hidden", "credentials come from the environment"),
        ("s3://bucket/a//x", "with no part empty"),
        ("s3://bucket/../x", "with no part empty"),
        ("s3://", "give s3://bucket/prefix"),
        ("ftp://bucket/x", "no URL of objects"),
    ],
)
def test_a_url_that_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        object_url(text, "data.root")
    assert str(refused.value).startswith("data.root") and "hidden" not in str(refused.value)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "find_spec", lambda name: None)
    assert importlib.util.find_spec("fsspec")
    with pytest.raises(ConfigError, match=r"pip install -e '.\[gcs\]'"):
        object_url("gs://bucket/x", "data.root")


def test_objects_are_listed_described_and_read(object_server: ObjectServer) -> None:
    content = bytes(range(256)) * 1000
    for key, data in (("a/x/1", content), ("a/2", b""), ("ab", b"z"), ("a/../3", b"z")):
        object_server.put(key, data)
    url = object_url(f"{object_server.url}/a/", "data.root")
    empty, whole = list_objects(url)
    assert (empty.name, empty.size, whole.name, whole.size) == ("2", 0, "x/1", len(content))
    described = describe_object(f"{url}/x/1")
    assert described == StoredObject("1", whole.size, whole.version)
    assert describe_object(f"{url}/x") is None and describe_object(f"{url}/3") is None
    assert read_range(f"{url}/x/1", whole, 100, 70000) == content[100:70000]
    object_server.put("a/x/1", content[::-1])
    with pytest.raises(ObjectError, match=f"{url}/x/1: changed since it was listed"):
        read_range(f"{url}/x/1", whole, 0, 1)


def test_requests_that_fail_are_sent_again(
    object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_FIRST_PAUSE", 0.01)
    content = bytes(range(256)) * 100
    object_server.put("x", content)
    object_server.failures = 0.2
    stored = describe_object(f"{object_server.url}/x")
    assert stored is not None
    for start in range(0, 8000, 100):
        piece = read_range(f"{object_server.url}/x", stored, start, start + 100)
        assert piece == content[start : start + 100]
    assert object_server.failed > 8


def failing(error: Exception) -> Any:
    def request() -> None:
        raise error

    return request


def test_an_error_is_a_line_without_secrets(
    object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_FIRST_PAUSE", 0.0)
    stored = StoredObject("x", 9, "")
    for request in (
        lambda: read_range(f"{object_server.url}/x", stored, 0, 9),
        lambda: list_objects("s3://no-such-bucket"),
    ):
        with pytest.raises(ObjectError, match="no such object or bucket"):
            request()
    said = f"no {SECRET}\nfor {SECRET_ID} at http://me:word@host/x?X-Amz-Credential=me"
    for error in (OSError(said), PermissionError(said), TimeoutError(said)):
        with pytest.raises(ObjectError) as raised:
            objects.attempted("s3://bucket/x", failing(error))
        line = str(raised.value)
        assert line.startswith("s3://bucket/x: no … for … at http://host/x")
        assert not any(word in line for word in (SECRET, SECRET_ID, "word", "Credential=", "\n"))


def test_a_defect_is_no_error_of_the_storage() -> None:
    with pytest.raises(KeyError):
        objects.attempted("s3://bucket/x", failing(KeyError("x")))
