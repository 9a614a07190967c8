"""A run whose shards lie in object storage is the run whose shards lie in a folder."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from tests.line import Line, means_line
from tests.object_storage import SECRET, SECRET_ID, ObjectServer


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A finished run on means. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


def away(line: Line, server: ObjectServer, copies: Path) -> Line:
    """The run with its shards on the server."""
    url = server.put_folder(line.data, "some/where")
    changes = (*line.changes, f"data.root={url}", "data.cache=1GB", f"data.cache_folder={copies}")
    return dataclasses.replace(line, changes=changes)


def test_a_run_from_object_storage_writes_the_same_bytes_and_no_secret(
    means: Line, object_server: ObjectServer, tmp_path: Path
) -> None:
    line = away(means, object_server, tmp_path / "copies").fresh(tmp_path)
    object_server.failures = 0.2
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    assert object_server.failed
    assert line.done().keys() == means.done().keys()
    results = sorted(means.run.rglob("*.safetensors"))
    assert len(results) > 5
    for path in results:
        assert (line.run / path.relative_to(means.run)).read_bytes() == path.read_bytes(), path
    written = b"\0".join(path.read_bytes() for path in filter(Path.is_file, tmp_path.rglob("*")))
    told = outcome.out + outcome.err + "\0".join(map(str, tmp_path.rglob("*")))
    assert object_server.url.encode() in written
    for secret in (SECRET, SECRET_ID):
        assert secret not in told and secret.encode() not in written


def test_a_run_goes_on_from_object_storage_where_the_shards_are_the_same(
    means: Line, object_server: ObjectServer, tmp_path: Path
) -> None:
    line = away(means.copy(tmp_path), object_server, tmp_path / "copies")
    before = line.done()
    outcome = line.call("stage=all")
    assert outcome.status == 0 and line.done() == before
    (shard, *_) = sorted(line.data.glob("train-*"))
    object_server.put(f"some/where/{shard.name}", shard.read_bytes()[:-1] + b"x")
    refusal = line.call("stage=teachers").refusal()
    assert f"{object_server.url}/some/where/{shard.name}, byte" in refusal


def test_what_is_not_there_is_said_in_a_line(
    means: Line, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = away(means, object_server, tmp_path / "copies").fresh(tmp_path)
    for change, said in (
        ("data.root=s3://nobody-has-this/x", "s3://nobody-has-this/x: no such object or bucket"),
        ("data.cache=100", "data.cache: 100 B are too few"),
        ("data.cache=9G", "did you mean 9GB or 9GiB"),
        (f"data.root=s3://{SECRET}@bucket/x", "credentials come from the environment"),
        ("data.vocabulary=names.csv", "some/where/names.csv: no such object"),
    ):
        refusal = line.call("stage=teachers", change).refusal()
        assert said in refusal and SECRET not in refusal
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    assert "credentials come from the environment" in line.call("stage=teachers").refusal()
