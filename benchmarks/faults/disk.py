"""A disk that is full in the middle of a run, and is given room again."""

import os
import subprocess
from pathlib import Path

from benchmarks.faults.line import Line, difference
from benchmarks.faults.promise import Trial, promise

# A file system of its own, which no privilege is needed for where the kernel lets users have
# namespaces. After the failure it grows, and the same command goes on; the results are then moved
# to where they are looked at.
_SCRIPT = """
set -e
mkdir -p "$1" && mount -t tmpfs -o size="$2" none "$1"
shift 2
status=0; "$@" >/dev/null 2>"$SAID" || status=$?
echo "$status"
mount -o remount,size=1g "$PLACE"
status=0; "$@" >/dev/null 2>"$SAID.again" || status=$?
echo "$status"
cp -a "$PLACE"/. "$PLACE.kept"
"""
# Neither the first write nor the last one.
_LEAST, _MOST = 0.02, 0.97


def can_mount() -> bool:
    """Whether this user may have a file system of their own here."""
    try:
        call = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    except OSError:
        return False
    return call.returncode == 0


@promise(
    "disk",
    "a full disk is one line and loses nothing: with room, the same command goes on",
    how="runs of `smoke` on file systems of several sizes, which are then enlarged",
    cases=8,
)
def fill_the_disk(trial: Trial) -> None:
    """Status 1, one line that says what was full, and the same bytes in the end."""
    if not can_mount():
        trial.figures.append("not tried: no user namespaces here")
        return
    undisturbed = trial.line.finished
    whole = sum(path.stat().st_size for path in undisturbed.outputs.rglob("*") if path.is_file())
    for number in range(trial.wanted):
        share = _LEAST + (_MOST - _LEAST) * number / max(1, trial.wanted - 1)
        size = 4096 * round(share * whole / 4096)
        line = Line(trial.folder / f"size-{number}")
        statuses, said, again = _run_in(line, size, undisturbed.data)
        what = f"{size} bytes: "
        held = statuses == ["1", "0"]
        trial.case(held, f"{what}statuses {statuses}: {said[-200:]} then {again[-200:]}")
        told = [text for text in said.splitlines() if text.startswith("onegig: ")]
        one = len(told) == 1 and "space" in told[0] and "Traceback" not in said
        trial.case(one, f"{what}no one line about it: {said[-200:]}", count=0)
        kept = Line(Path(f"{line.outputs}.kept"))
        differ = difference(undisturbed.results(), _results(kept))
        trial.case(not differ, f"{what}other bytes in the end: {differ}", count=0)


def _results(kept: Line) -> dict[str, str]:
    """Those of a run whose `outputs` became the folder itself."""
    (kept.folder / "outputs").symlink_to(kept.folder)
    return kept.results()


def _run_in(line: Line, size: int, data: Path) -> tuple[list[str], str, str]:
    """Statuses of the two calls, and what each said."""
    line.folder.mkdir()
    (line.folder / "data").symlink_to(data)
    said = line.folder / "said"
    command = line.command("stage=all", "jobs=2")
    call = subprocess.run(
        ["unshare", "-rm", "sh", "-c", _SCRIPT, "sh", str(line.outputs), str(size), *command],
        env={**os.environ, "SAID": str(said), "PLACE": str(line.outputs)},
        capture_output=True,
        text=True,
        check=False,
    )
    again = Path(f"{said}.again")
    texts = [path.read_text() if path.exists() else "" for path in (said, again)]
    return call.stdout.split(), texts[0], texts[1] + call.stderr
