"""A server of objects on this machine, moto's, some of whose requests fail."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

SECRET_ID, SECRET = "AKIDOFTHETESTS", "a-secret-of-the-tests"
_BUCKETS = itertools.count()
# What a request may meet: nothing happens, it happens and nobody is told, it is told by half.
_FAULTS = ("503", "lost", "cut")
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ObjectServer:
    """Moto's S3, over HTTP.

    Attributes:
        url: Of a bucket with one empty object, `made`.
        endpoint: Where the server listens.
        failures: The share of requests that fail: a 503, an answer that is lost, or one that is cut
            off. Which of them do depends on what they ask for and how often it was asked before,
            and not on their order.
        requests: How many came, by method.
        failed: How many of them failed.
        paths: Methods and paths of all that came, in their order.
        forbids: Which of these nobody may ask for.
        heeds_conditions: Whether what is asked for on a condition is refused where that fails; not
            every server does.
        names_conditions: Whether a refusal says which condition failed; not every server does.
        next_faults: What the next requests to write meet, one each.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.failures, self.failed = 0.0, 0
        self.requests: Counter[str] = Counter()
        self.paths: list[tuple[str, str]] = []
        self.forbids: Callable[[str, str], bool] = lambda method, path: False
        self.heeds_conditions = self.names_conditions = True
        self.next_faults: list[str] = []
        self._asked: Counter[str] = Counter()
        self._turn, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._moto: Application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.bucket = f"tests-{next(_BUCKETS)}"
        self.url = f"s3://{self.bucket}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @cached_property
    def _client(self) -> Any:
        import boto3

        client = boto3.client("s3", endpoint_url=self.endpoint)
        client.create_bucket(Bucket=self.bucket)
        return client

    def put(self, key: str, content: bytes) -> None:
        """Writes an object, whatever else fails."""
        share, self.failures = self.failures, 0.0
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content)
        self.failures = share

    def put_folder(self, folder: Path, prefix: str) -> str:
        """Writes all files of a folder; the URL of them."""
        for path in filter(Path.is_file, folder.rglob("*")):
            self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.url}/{prefix}"

    def _answer(self, asked: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
        method, path = asked["REQUEST_METHOD"], asked["PATH_INFO"]
        self.paths.append((method, path))
        if self.forbids(method, path):
            refusal = b"<Error><Code>AccessDenied</Code><Message>forbidden</Message></Error>"
            begin("403 Forbidden", [("Content-Length", str(len(refusal)))])
            return [refusal]
        fault = self._fault(asked)
        if fault is None:
            return self._done(asked, begin)
        if fault == "503":
            begin("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        if fault == "lost":
            self._done(asked, lambda *_: None)
            asked["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionError
        content = b"".join(self._done(asked, begin))
        return [content[: len(content) // 2]]

    def _done(self, asked: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_IF_NONE_MATCH" not in asked:
            return list(self._moto(asked, begin))
        if not self.heeds_conditions:
            del asked["HTTP_IF_NONE_MATCH"]
        # Moto looks first, and then writes.
        with self._one_at_a_time:
            content = b"".join(self._moto(asked, begin))
        named = b"<Condition>If-None-Match</Condition>"
        return [content if self.names_conditions else content.replace(named, b" " * len(named))]

    def _fault(self, asked: dict[str, Any]) -> str | None:
        what = [asked.get(k, "") for k in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")]
        request = "\n".join([*what, asked.get("HTTP_RANGE", "")]).replace(self.bucket, "")
        with self._turn:
            self.requests[what[0]] += 1
            self._asked[request] += 1
            if what[0] == "PUT" and self.next_faults:
                return self.next_faults.pop()
            digest = hashlib.sha256(f"{request}\n{self._asked[request]}".encode()).digest()
            if int.from_bytes(digest[:4], "big") >= self.failures * 2**32:
                return None
            self.failed += 1
        return _FAULTS[digest[4] % len(_FAULTS)]


def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """The server, and an environment that leads there."""
    for module in ("s3fs", "moto", "flask"):
        pytest.importorskip(module)
    for name in filter(lambda name: name.startswith(("AWS_", "FSSPEC_")), list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    from s3fs import S3FileSystem

    server = ObjectServer()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    server.put("made", b"")
    # What there may be leads elsewhere; and what there is then, to a server that is gone.
    S3FileSystem.clear_instance_cache()
    try:
        yield server
    finally:
        server.close()
        S3FileSystem.clear_instance_cache()
