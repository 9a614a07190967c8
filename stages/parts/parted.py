"""A split that a bundle is run over in parts, and what the parts make together."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.files import atomic_path, sha256_file
from common.tensors import map_tensors
from metrics import StreamingScores
from quantize.bundle.content import BundleContent
from quantize.bundle.inference import BATCH_CLIPS
from records import Split, check_ids
from runs import RunError, Task
from stages.execute import Tasks
from stages.external.bundle_blend import BundleBlend
from stages.job import Upstream
from stages.packing.bundles import shards_of
from stages.packing.scored import BATCHES_AT_ONCE, check_labeled, no_scores
from stages.parts.cut import PARTS_FOLDER, cut, remove_parts
from stages.parts.part import BundlePart, Made
from stages.parts.rows import write_header
from stages.parts.work import IDS_NAME, ROWS_NAME, SCORES_NAME
from stages.workspace import Workspace

_DTYPES = ("BOOL", "U16", "U32", "I64", "F32", "F64")


@dataclass(frozen=True)
class Parted:
    """A bundle's run over a split, in parts.

    Attributes:
        workspace: the run.
        bundle: the bundle's file.
        content: what that holds.
        split: the clips, by the bundle's schema.
        made: what is made of them.
        blend: what is mixed in.
    """

    workspace: Workspace
    bundle: Path
    content: BundleContent
    split: Split
    made: Made
    blend: BundleBlend | None = None

    @property
    def is_cut(self) -> bool:
        """Whether there are several parts; what would be one the command does by itself."""
        return len(self._cut()) > 1

    @property
    def _name(self) -> str:
        """The folder of the parts' tasks."""
        stage = "evaluate" if self.made == "scores" else "predict"
        return f"{PARTS_FOLDER}/{stage}-{self.split.name}"

    def write_submission(self, output: Path) -> None:
        """Joins the rows of the parts, which are made where they are missing.

        Raises:
            JobsFailed: a part failed; the others are done.
            records.DataError: a shard is damaged, or an id is there twice.
        """
        parts = self._done()
        place = atomic_path(output)
        with place as beside, beside.open("w", newline="", encoding="utf-8") as file:
            write_header(file, self.made)
            for part in parts:
                with part.file(ROWS_NAME).open(newline="", encoding="utf-8") as rows:
                    shutil.copyfileobj(rows, file)
            numbers = [np.load(part.file(IDS_NAME), allow_pickle=False) for part in parts]
            check_ids([(self.split, np.concatenate(numbers))])

    def scores(self) -> StreamingScores:
        """What the parts are scored by, which are made where they are missing.

        Raises:
            JobsFailed: a part failed; the others are done.
            records.DataError: a shard is damaged, or no clip has a label.
        """
        scores = no_scores(self.content)
        for part in self._done():
            _, found = map_tensors(part.file(SCORES_NAME), _DTYPES, RunError)
            scores.add({name: tensor.numpy() for name, tensor in found.items()})
        check_labeled(scores, self.split)
        return scores

    def remove(self) -> None:
        """Removes the parts, once what was made of them stands."""
        remove_parts(self.workspace.run.root, self._name)

    def _done(self) -> Sequence[Task]:
        """The finished tasks of the parts, in the order of their clips."""
        return list(Tasks(self.workspace).of_jobs(dict(enumerate(self._jobs()))).values())

    def _jobs(self) -> list[BundlePart]:
        config, machines = self.workspace.config, self.workspace.machines
        resources, external = config.parts.resources, self.blend.tasks if self.blend else {}
        cores = resources.cpus or max(1, machines.largest().cpus)
        whole = BundlePart(
            task=self._name,
            bundle=self.bundle.resolve(),
            digest=sha256_file(self.bundle),
            families=tuple(sorted({member.family for member in self.content.members})),
            data=shards_of(self.workspace, self.content.schema, self.split.name),
            split=self.split.name,
            fingerprint=self.split.fingerprint,
            start=0,
            end=len(self.split),
            made=self.made,
            device=config.device,
            precision=config.precision,
            threads=min(cores, BATCHES_AT_ONCE),
            extensions=tuple(self.workspace.extensions),
            resources=resources,
            blend=self.blend.blend if self.blend else None,
            external={name: Upstream.of(task) for name, task in external.items()},
        )
        return [whole.part(number, *bounds) for number, bounds in enumerate(self._cut())]

    def _cut(self) -> list[tuple[int, int]]:
        return cut(len(self.split), self.workspace.config.parts.clips, BATCH_CLIPS)
