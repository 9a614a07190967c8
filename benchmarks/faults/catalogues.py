"""Random catalogues of members under random budgets: the promised bytes, and the real file."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.faults.promise import Trial, promise
from families.registry import meta_module
from metrics import Labels
from quantize import (
    BundleMember,
    MemberLayout,
    Option,
    Problem,
    QuantizedState,
    bundle_bytes,
    list_precisions,
    quantize_state,
    read_bundle,
    write_bundle,
)
from quantize.selection.solver import Solver
from records import Schema, Stream
from runs import PredictionsWriter

_METHODS = ("random", "greedy", "flat")
_CLIPS = 30
_THRESHOLD = 30  # so that small tensors are quantized too
_LETTERS = "aZ9 _'\"\\/é漢🎬\t"


@promise(
    "bytes",
    "the solver never passes the budget, and the bytes that it counts are those of the file",
    how="random schemas, members, precisions, receipts and budgets, solved and written",
    cases=400,
)
def solve_random_catalogues(trial: Trial) -> None:
    """Size as solved = size as written <= budget."""
    random = trial.random
    for number in range(trial.wanted):
        catalogue = _Catalogue(random)
        problem = Problem(catalogue.options, catalogue.labels, catalogue.size, catalogue.mix)
        most = int(sum(problem.alone))
        budget = int(random.integers(problem.alone.min(), most, endpoint=True))
        method = str(random.choice(_METHODS))
        solution = Solver(problem, method, trials=40, seed=number).solve(budget)
        path = trial.folder / f"{number}.safetensors"
        catalogue.write(path, solution.choice, solution.weights)
        size = path.stat().st_size
        what = f"catalogue {number}, {method}: solved {solution.size}, file {size}, budget {budget}"
        trial.case(solution.size == size <= budget, what)
        names = [member.name for member in read_bundle(path).members]
        trial.case(names == sorted(solution.choice), f"{what}: holds {names}", count=0)
        path.unlink()


class _Catalogue:
    """Members at several precisions, with predictions that mean nothing."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self.schema = self._schema()
        self.mix = str(random.choice(["probability", "log_odds"]))
        self.entropy = bool(random.random() < 0.3)
        truth = random.random((_CLIPS, self.schema.num_labels)) < 0.1
        truth[0, 0] = True
        self.labels = Labels.from_dense(truth)
        self.configs: dict[str, tuple[str, dict[str, Any]]] = {}
        self.states: dict[tuple[str, str], QuantizedState] = {}
        self.layouts: dict[tuple[str, str], MemberLayout] = {}
        self.options: list[Option] = []
        for number in range(int(random.integers(1, 6))):
            self._add(f"m{number}" + "x" * int(random.integers(0, 40)))
        # Of the receipt only the figures may differ from what was measured.
        self._notes = {"note": self._text(200), "figures": random.random(5).tolist()}

    def _schema(self) -> Schema:
        labels = int(self._random.integers(4, 60))
        streams = [
            Stream(f"s{n}{self._text(4)}", int(self._random.integers(2, 30)))
            for n in range(int(self._random.integers(1, 4)))
        ]
        named = self._random.random() < 0.5
        names = tuple(self._text(12) for _ in range(labels)) if named else ()
        return Schema(self._text(8), "frame", tuple(streams), labels, label_names=names)

    def _text(self, most: int) -> str:
        return "".join(self._random.choice(list(_LETTERS), int(self._random.integers(0, most))))

    def _add(self, name: str) -> None:
        """A member at one to four precisions."""
        random = self._random
        size = int(random.integers(2, 24))
        families: list[tuple[str, dict[str, Any]]] = [
            ("perceptron", {"hidden": [size] * int(random.integers(0, 3))}),
            ("logistic", {}),
            ("netvlad", {"clusters": 3, "hidden": size}),
            ("netfv", {"clusters": 2, "hidden": size}),
            ("dbof", {"clusters": size, "hidden": 5}),
            ("rnn", {"hidden": 2 * size}),
        ]
        family, config = families[int(random.integers(len(families)))]
        self.configs[name] = family, config
        generator = torch.Generator().manual_seed(int(random.integers(2**31)))
        shapes = meta_module(family, config, self.schema).state_dict()
        # Variances are among them.
        state = {key: torch.rand(t.shape, generator=generator) for key, t in shapes.items()}
        for precision in random.permutation(list_precisions())[: int(random.integers(1, 5))]:
            key = name, str(precision)
            self.states[key] = quantize_state(state, _THRESHOLD, key[1])
            self.layouts[key] = MemberLayout.of(
                name, family, config, self.states[key], self.entropy
            )
            writer = PredictionsWriter(self.schema.num_labels, 20)
            dense = torch.randn(_CLIPS, self.schema.num_labels, generator=generator)
            writer.append([f"c{n}" for n in range(_CLIPS)], dense)
            self.options.append(Option(*key, writer.finish()))

    def size(self, choice: Any) -> int:
        """As it is measured before the figures are known."""
        layouts = [self.layouts[key] for key in choice.items()]
        receipt = {**self._notes, "figures": [0.5] * 5}
        return bundle_bytes(self.schema, layouts, receipt, self.mix)

    def write(self, path: Path, choice: Any, weights: Any) -> None:
        members = [
            BundleMember(name, *self.configs[name], weights[name], self.states[name, precision])
            for name, precision in choice.items()
        ]
        write_bundle(path, self.schema, members, self._notes, self.mix, entropy=self.entropy)
