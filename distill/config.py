"""Which students there are, and who teaches them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from common.codec import Positive, Text
from common.objects import is_object_url, plain_url


@dataclass(frozen=True)
class StudentConfig:
    """A student: which member is trained again, and who teaches it.

    `teacher` is `family` (the best combination of the member's own family), the name of another
    family, `all` (every teacher, with the searched weights), or `labels` (none: the member as it
    was trained on the labels goes on to packing). At level 2 the teacher is the flat mean of the
    level-1 students of that family, or of all of them.

    Left empty, `member` is the student's own name and `teacher` that of all students.
    """

    member: str = ""
    teacher: str = ""
    level: Literal[1, 2] = 1
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UnlabeledConfig:
    """Further clips, from which students learn by soft targets alone; labels there are not read.

    Students that remember clips (`neighbors`) remember those of `train` alone.

    Attributes:
        root: Folder of the shards, or its URL as in `data.root`; None for `data.root`.
        shards: A pattern or several, as in `data.train.shards`; None where there are no such clips.
        share: How much of a batch they are. An epoch is one of the clips of `train` all the same,
            and takes the more steps.
        weight: Of the loss on one of them, where that on a clip of `train` has 1.
    """

    root: Text | None = None
    shards: str | tuple[str, ...] | None = None
    share: Annotated[float, Gt(0), Lt(1)] = 0.25
    weight: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        if self.root and is_object_url(self.root):
            plain_url(self.root, "distill.unlabeled.root")


@dataclass(frozen=True)
class DistillConfig:
    """Soft targets and students. `hard_weight` is lambda of Skalic & Austin 2018, equation 2.

    Every member is trained again as a student of its name by `teacher`, save those that `students`
    names; the students of `students` follow, in their order. One that is null is left out.
    `train` changes the training of all students, the `train` of a student its own.
    """

    hard_weight: Annotated[float, Ge(0), Le(1)] = 0.5
    stored_labels: Positive = 50
    teacher: str = "family"
    train: dict[str, Any] = field(default_factory=dict)
    students: dict[str, StudentConfig | None] = field(default_factory=dict)
    unlabeled: UnlabeledConfig = UnlabeledConfig()
    write_merged: bool = False

    def students_of(self, members: Iterable[str]) -> dict[str, StudentConfig]:
        """All students by name, their empty fields filled in.

        Args:
            members: The names of the members, in their order.
        """
        named: dict[str, StudentConfig | None] = {
            name: StudentConfig() for name in members if name not in self.students
        }
        return {
            name: replace(
                student,
                member=student.member or name,
                teacher=student.teacher or self.teacher,
                train=self.train | student.train,
            )
            for name, student in (named | self.students).items()
            if student is not None
        }
