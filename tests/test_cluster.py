"""What runs jobs: this machine, and a cluster of Ray's whose nodes come and go."""

from __future__ import annotations

import csv
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.tuning.server import running
from runs import (
    ExecutorConfig,
    Job,
    JobProgress,
    LocalMachine,
    Machines,
    RunError,
    run_jobs,
    run_source,
)
from runs.remote.folder import ObjectFolder
from runs.remote.run import RemoteRun
from tests.cluster import (
    CHECKPOINTS,
    SLEEPS,
    OneUnwanted,
    SmallCluster,
    ended_without_its_node,
    gone,
    interrupted_when_all_run,
    job,
    number_in,
)
from tests.line import Line, blank_means_line, finished_means_line, means_line, wait_for
from tests.object_storage import ObjectServer
from tests.parts import AS_HELD, IN_PARTS, Clips, held_at, submission
from training.checkpoint import CHECKPOINT_NAME

pytest.importorskip("ray", reason="needs the extra ray")
from runs.ray import RayCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[SmallCluster]:
    made = SmallCluster(3)
    yield made
    made.close()


@pytest.fixture(scope="class", params=["local", "ray"])
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    """What has to keep the contract."""
    if request.param == "local":
        yield LocalMachine()
        return
    address = request.getfixturevalue("cluster").address
    made = RayCluster(ExecutorConfig("ray", address))
    yield made
    made.close()


class TestContract:
    """What the executor relies on, whatever jobs run on."""

    def test_the_largest_is_one_of_them(self, machines: Machines) -> None:
        assert 1 <= machines.largest().cpus <= machines.capacity().cpus

    def test_jobs_end_as_they_end(self, machines: Machines, tmp_path: Path) -> None:
        scripts = {
            "good": "print('note: all is well')",
            "bad": "import sys; print('last words'); sys.exit(3)",
            "victim": "import os; os.kill(os.getpid(), 9)",
        }
        jobs = [job(tmp_path, name, script) for name, script in scripts.items()]
        missing = Job("missing", tmp_path / "missing", ("/nowhere/program",))
        good, bad, victim, lacking = run_jobs([*jobs, missing], None, machines=machines)
        assert (good.returncode, good.message, good.notes) == (0, None, ("all is well",))
        assert (tmp_path / "good" / "log.txt").read_text() == "note: all is well\n"
        assert bad.returncode == 3 and str(bad.message).startswith("bad ended with exit status 3")
        assert str(bad.message).endswith("log.txt:\nlast words")
        assert victim.returncode == -signal.SIGKILL and "killed by SIGKILL" in victim.ending
        assert lacking.returncode == 127 and "/nowhere/program" in str(lacking.message)

    def test_threads_and_progress_reach_the_other_side(
        self, machines: Machines, tmp_path: Path
    ) -> None:
        script = (
            "import os, sys, time\nfrom pathlib import Path\nfrom runs import append_progress\n"
            "append_progress(Path(sys.argv[1]), 1, 2, threads=os.environ['OMP_NUM_THREADS'])\n"
            "time.sleep(0.5)\n"
        )
        folder, seen = tmp_path / "a", list[JobProgress]()
        command = (sys.executable, "-c", script, str(folder))
        one = Job("a", folder, command, threads=3, reserved=1)
        run_jobs([one], 1, machines=machines, on_progress=seen.append)
        assert seen[0] == JobProgress("a", "running")
        assert JobProgress("a", "running", 1, 2, {"threads": "3"}) in seen
        assert seen[-1].state == "done"

    def test_a_job_that_hangs_is_named_and_ended(self, machines: Machines, tmp_path: Path) -> None:
        jobs = [job(tmp_path, "hangs", SLEEPS)]
        (hangs,) = run_jobs(jobs, 1, machines=machines, silent_seconds=1.5)
        assert hangs.returncode == -signal.SIGTERM
        assert "made no progress for 0.025 minutes and was ended" in hangs.ending
        gone(tmp_path / "hangs")

    def test_ctrl_c_lets_jobs_checkpoint_and_leaves_none(
        self, machines: Machines, tmp_path: Path
    ) -> None:
        jobs = [job(tmp_path, name, CHECKPOINTS) for name in ("a", "b")]
        states: list[tuple[str, str]] = []
        with interrupted_when_all_run(jobs), pytest.raises(KeyboardInterrupt):
            run_jobs(
                jobs,
                2,
                machines=machines,
                on_progress=lambda seen: states.append((seen.name, seen.state)),
            )
        assert {("a", "interrupted"), ("b", "interrupted")} <= set(states)
        for one in jobs:
            assert (one.folder / "log.txt").read_text().endswith("checkpoint\n")
            gone(one.folder)

    def test_an_unwanted_job_is_ended(self, machines: Machines, tmp_path: Path) -> None:
        source = OneUnwanted(job(tmp_path, "lags", CHECKPOINTS))
        run_source(source, None, machines=machines)
        (result,) = source.results
        assert result.unwanted and (tmp_path / "lags" / "log.txt").read_text().endswith("point\n")


# Two members, several epochs: each is trained long enough to be killed on the way.
CHANGES = (
    *("~members.vlad", "~members.bag", "~members.sequence"),
    "members.other={family: perceptron, config: {hidden: [8]}}",
    "train.checkpoint_seconds=0",
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A run that has been through undisturbed on this machine; not to be changed."""
    return finished_means_line(tmp_path_factory.mktemp("here"), CHANGES)


def test_a_run_ends_at_the_same_bytes_though_a_node_dies_and_one_comes(
    cluster: SmallCluster, here: Line, tmp_path: Path
) -> None:
    there = Line(here.data, here.schema, tmp_path / "there" / "outputs", CHANGES)

    def find(below: str) -> Path | None:
        return next(there.run.glob(below), None)

    process = there.start("stage=all", "executor=ray", f"executor.address={cluster.address}")
    out, err = ended_without_its_node(process, cluster, find, cluster.add)
    assert "raylet" not in out + err

    assert there.bundle.read_bytes() == here.bundle.read_bytes()
    assert there.done().keys() == here.done().keys()
    # Nothing is done again by the other executor: the keys are the same.
    again = there.call("stage=all")
    assert again.status == 0 and "started" not in again.err, again.err


def test_a_part_that_loses_its_node_is_done_elsewhere_and_the_bytes_are_those_of_the_whole(
    cluster: SmallCluster, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = means_line(tmp_path_factory.getbasetemp()).bundle
    clips = Clips.write(bundle, tmp_path / "clips")
    here, there = tmp_path / "here", tmp_path / "there"
    assert clips.call("predict", here).status == 0
    killed: list[str] = []
    on_cluster = ("executor=ray", f"executor.address={cluster.address}")
    with held_at(clips.of_second, lambda number: killed.append(cluster.kill_node_of(number))):
        outcome = clips.call("predict", there, IN_PARTS, *AS_HELD, *on_cluster)
    cluster.add()
    assert outcome.status == 0, outcome.err
    assert outcome.err.count("was lost") == 1
    assert f"parts/predict-test/0001 was lost with node {killed[0]}; it is tried" in outcome.err
    assert submission(there) == submission(here)


def test_a_study_in_a_database_loses_no_trial_with_a_node_and_counts_none_twice(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    line = blank_means_line(tmp_path, (*CHANGES[:3], "~tune.space.members.bag"))
    places = [line.run / "teachers" / f"plain-t{number}" for number in range(2)]
    # The first two wait where they are scored on their way.
    hold = Path(f"{next(line.data.glob('search-00000*'))}.hold")
    hold.touch()
    settings = ("stage=tune", "tune.members=[plain]", "tune.trials=4", "tune.pruner=none")
    watched = ("train.checkpoint_seconds=0", "train.evaluate_clips=60")
    with running() as server:
        process = line.start(
            *(*settings, f"tune.storage='{server.url}'", *AS_HELD, *watched),
            *("executor=ray", f"executor.address={cluster.address}"),
        )
        try:
            for place in places:
                assert wait_for((place / CHECKPOINT_NAME).exists, process), process.communicate()
            numbers = [number_in(place / "LOCK") for place in places]
            nodes = [cluster.node_of(number) for number in numbers]
            assert nodes[0] != nodes[1]
            assert cluster.kill_node_of(numbers[0]) == nodes[0]
            cluster.add()
            hold.unlink()
            _, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 0, err
    said = f"teachers/plain-t0 was lost with node {nodes[0]}; it is tried again (1/3)"
    assert said in err.splitlines() and "goes on at step" in (places[0] / "log.txt").read_text()
    # That one starts may be said anew when it has lost the lines behind its checkpoint.
    ended = re.findall(r"^teachers/plain-t(\d+): .*\bdone\b", err, re.M)
    assert sorted(ended) == ["0", "1", "2", "3"]
    with (line.run / "tune" / "plain.csv").open() as file:
        trials = [(row["trial"], row["state"]) for row in csv.DictReader(file)]
    assert [number for number, _ in trials] == ["0", "1", "2", "3"]
    assert {state for _, state in trials} == {"complete", "kept"}


def test_a_job_that_loses_its_nodes_is_failed_by_name(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    one = job(tmp_path, "unlucky", SLEEPS)
    log = one.folder / "log.txt"
    machines, killed = RayCluster(ExecutorConfig("ray", cluster.address, retries=0)), []
    thread = threading.Thread(
        target=lambda: killed.append(cluster.kill_node_of(number_in(log))), daemon=True
    )
    thread.start()
    try:
        (result,) = run_jobs([one], None, machines=machines)
    finally:
        machines.close()
    thread.join()
    said = f"unlucky was lost with node {killed[0]}; it was tried once; the end of {log}:\n"
    assert str(result.message).startswith(said)
    assert result.returncode == -signal.SIGKILL and log.read_text().strip() == result.tail


def test_a_node_without_memory_is_named(cluster: SmallCluster, tmp_path: Path) -> None:
    # It counts as full, whatever is used.
    full = cluster.add(
        num_cpus=2,
        env_vars={"RAY_memory_usage_threshold": "0.0", "RAY_memory_monitor_refresh_ms": "100"},
    )
    machines = RayCluster(ExecutorConfig("ray", cluster.address, retries=1))
    one = job(tmp_path, "large", SLEEPS)
    try:
        (result,) = run_jobs([replace(one, reserved=2)], None, machines=machines)
    finally:
        machines.close()
    said = f"large was ended since node {full} has no memory left; it was tried twice"
    assert str(result.message).startswith(said)


def test_a_run_in_object_storage_is_done_by_nodes_that_share_nothing_but_that(
    cluster: SmallCluster,
    here: Line,
    object_server: ObjectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of them is killed, and one that has nothing yet comes in its place."""

    def find(below: str) -> Path | None:
        run = f"*/onegig/nodes/s3/{object_server.bucket}/runs/smoke"
        return next(tmp_path.glob(f"{run}/{below}"), None)

    # The other nodes are too small for them.
    large = (f"members.{name}.resources={{cpus: 3}}" for name in ("plain", "other"))
    data = f"data.root={object_server.put_folder(here.data, 'data')}"
    there = Line(here.data, here.schema, tmp_path, (*CHANGES, *large, data))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "head"))
    outputs = f"outputs={object_server.url}/runs"
    for name in ("first", "second"):
        cluster.add_apart(tmp_path / name, cores=3)
    on_cluster = ("executor=ray", f"executor.address={cluster.address}")
    process = there.start("stage=all", outputs, *on_cluster)
    ended_without_its_node(
        process, cluster, find, lambda: cluster.add_apart(tmp_path / "third", cores=3)
    )
    objects = ObjectFolder(f"{object_server.url}/runs/smoke")
    assert objects.read("bundle/bundle.safetensors") == here.bundle.read_bytes()
    done = {name.removesuffix("/DONE") for name in objects.list() if name.endswith("/DONE")}
    assert done == here.done().keys()
    again = there.call("stage=all", outputs)
    assert again.status == 0 and "started" not in again.err, again.err


def test_on_a_node_that_shares_nothing_jobs_end_as_they_end(
    cluster: SmallCluster, object_server: ObjectServer, tmp_path: Path
) -> None:
    """What they say is heard here while they run, and what they leave is put."""
    cluster.add_apart(tmp_path / "node", cores=4)
    run = RemoteRun(f"{object_server.url}/runs/demo", tmp_path / "head")
    machines = RayCluster(ExecutorConfig("ray", cluster.address), run)

    def prepared(name: str, script: str) -> Job:
        task = run.task(name, {})
        with task.lock():
            task.prepare()
        return replace(job(run.root, name, script), reserved=4)

    with closing(machines), run.lock():
        script = "import sys; print('last words'); sys.exit(3)"
        (bad,) = run_jobs([prepared("bad", script)], 1, machines=machines)
        assert bad.returncode == 3 and str(bad.message).endswith("log.txt:\nlast words")
        told = prepared("told", CHECKPOINTS)
        with interrupted_when_all_run([told]), pytest.raises(KeyboardInterrupt):
            run_jobs([told], 1, machines=machines)
    assert str(ObjectFolder(run.url).read("told/log.txt")).endswith("checkpoint\\n'")
    gone(told.folder)


def test_an_address_without_a_cluster_is_refused() -> None:
    machines = RayCluster(ExecutorConfig("ray", "127.0.0.9:6399"))
    said = "executor.address: no Ray cluster at 127.0.0.9:6399: Connection refused; start one"
    with pytest.raises(RunError, match=re.escape(said)):
        machines.prepare()
