"""Bytes a second from object storage against s3fs alone, and memory by the number of shards.

    python -m benchmarks.objects                   # the bytes
    python -m benchmarks.objects --shards 4000     # the memory of 40, 400 and 4,000 shards

A process beside this one serves objects with moto. First s3fs alone reads all shards in ranges of
8 MiB, into memory and dropped, and as files; then they are fetched as a run does, into copies on
the disk: by as many connections, each from nothing, in turn, several times. What is compared are
the best times. For the memory, each number of shards is indexed, and read once in a shuffled order,
in a child of its own, with copies of at most a quarter of the bytes.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.faults.children import in_child
from benchmarks.generated import generate_clips
from benchmarks.harness import best_times, print_figures, print_table, ratios
from common.objects import CONNECTIONS, file_system, list_objects
from records import (
    Schema,
    SplitSpec,
    Stream,
    encode_clip,
    iterate_batches,
    open_split,
    write_shards,
)
from records.objects.fetcher import Fetcher
from records.objects.folder import RemoteFolder

SHARDS, MEGABYTES, REPEATS, TARGET = 24, 16, 5, 0.8
_SCHEMA = Schema("small", "video", (Stream("mean_rgb", 64, "float32"),), 10)
_PIECE, _CLIPS_A_SHARD, _BATCH = 8 << 20, 8, 64
_MEMORY, _SECONDS = 4 * 2**30, 3600.0


def measure(
    shards: int = SHARDS, megabytes: float = MEGABYTES, repeats: int = REPEATS
) -> dict[str, Any]:
    """Times each reader on the same objects.

    Returns:
        ``megabytes_per_second`` by reader, ``ratio`` of ours to each other, ``shards`` and
        ``megabytes`` of them all.
    """
    size = int(megabytes * 1e6)
    with tempfile.TemporaryDirectory() as name, serving() as url:
        content = np.random.default_rng(0).bytes(size)
        for number in range(shards):
            file_system(url).pipe_file(f"{url}/{number:04d}.tfrecord", content)
        folder = Path(name)
        readers = {
            "copies of a run": partial(_fetch, url, folder / "copies"),
            "s3fs, in memory": partial(_read, url),
            "s3fs, files": partial(_download, url, folder / "files"),
        }
        seconds = best_times(readers, repeats)
    total = shards * size / 1e6
    return {
        "shards": shards,
        "megabytes": total,
        "megabytes_per_second": {name: total / took for name, took in seconds.items()},
        "ratio": ratios(seconds, to="copies of a run"),
    }


def _fetch(url: str, folder: Path) -> None:
    shards = RemoteFolder(url, folder, 1 << 40).shards("all", SplitSpec(), "auto", _SCHEMA)
    fetcher = Fetcher(shards)
    fetcher.expect(shards.paths)
    for path in shards.paths:
        fetcher.copy(path).release()
    fetcher.close()
    shutil.rmtree(folder)


def _read(url: str) -> None:
    system = file_system(url)
    ranges = [
        (f"{url}/{stored.name}", start, min(start + _PIECE, stored.size))
        for stored in list_objects(url)
        for start in range(0, stored.size, _PIECE)
    ]
    # So many at once, that memory holds no more of them than ours does.
    for first in range(0, len(ranges), 2 * CONNECTIONS):
        paths, starts, ends = zip(*ranges[first : first + 2 * CONNECTIONS], strict=True)
        system.cat_ranges(list(paths), list(starts), list(ends), batch_size=CONNECTIONS)


def _download(url: str, folder: Path) -> None:
    file_system(url).get(f"{url}/", f"{folder}/", recursive=True, batch_size=CONNECTIONS)
    shutil.rmtree(folder)


def measure_memory(numbers: Iterable[int]) -> dict[int, dict[str, float]]:
    """By number of shards: ``grown``, the most bytes taken beyond those before; ``seconds``."""
    found = {}
    with serving() as url:
        for number in numbers:
            with tempfile.TemporaryDirectory() as name:
                most = _put_shards(Path(name), f"{url}/{number}", number) // 4
                read = partial(_index_and_read, f"{url}/{number}", Path(name), most)
                ended = in_child(read, _MEMORY, _SECONDS)
            if ended.kind != "returned":
                raise RuntimeError(f"{number} shards: {ended.kind}: {ended.value}")
            found[number] = {"grown": ended.peak, "seconds": ended.seconds}
    return found


def _put_shards(folder: Path, url: str, number: int) -> int:
    """Writes so many small shards; the bytes of them all."""
    clips = generate_clips(_SCHEMA, number * _CLIPS_A_SHARD, (1, 1))
    records = (encode_clip(clip, _SCHEMA) for clip in clips)
    paths = write_shards(folder / "data", "x", records, _CLIPS_A_SHARD)
    file_system(url).put(f"{folder / 'data'}/", f"{url}/", recursive=True)
    return sum(path.stat().st_size for path in paths)


def _index_and_read(url: str, folder: Path, most: int) -> None:
    # Few shards are read at once all together; copies of them have to find room.
    remote = RemoteFolder(url, folder / "copies", max(most, 1 << 20))
    split = open_split(
        remote.root, "all", SplitSpec(), _SCHEMA, cache=folder / "index", remote=remote
    )
    for _ in iterate_batches(split, _BATCH, shuffle_seed=0):
        pass


@contextmanager
def serving() -> Iterator[str]:
    """The URL of an empty bucket, served by a process beside this one meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "measured",
        "AWS_SECRET_ACCESS_KEY": "measured",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            # It may lead to a server of before.
            type(file_system("s3://measured")).clear_instance_cache()
            file_system("s3://measured").mkdir("s3://measured")
            yield "s3://measured/data"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise RuntimeError("moto does not serve")


def main() -> None:
    """Measures and prints what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, help="memory of so many, a tenth, a hundredth")
    shards = parser.parse_args().shards
    if shards is None:
        title = f"{CONNECTIONS} connections, best of {REPEATS}; target {TARGET}"
        print_figures(title, measure())
        return
    figures = measure_memory((shards // 100, shards // 10, shards))
    print_table("an index and a shuffled pass", pd.DataFrame(figures).T)


if __name__ == "__main__":
    main()
