"""Standard errors of GAP@20 from a thousand draws of the clips, against a loop over the draws.

    python -m benchmarks.bootstrap

The rival gives each draw's clips to the fastest GAP that there is here, already ranked. Beside them
stand the errors of all five scores, as a run reports them.
"""

from typing import Any

import numpy as np

from benchmarks.generated import generate_scores
from benchmarks.harness import best_times, print_figures
from metrics import StreamingScores, bootstrap
from metrics.average_precision import average_precision
from metrics.ranking import rank

CLIPS, LABELS, K, DRAWS, REPEATS = 28_000, 3862, 20, 1000, 3


def measure(
    clips: int = CLIPS, num_labels: int = LABELS, draws: int = DRAWS, repeats: int = REPEATS
) -> dict[str, Any]:
    """Times both on the same draws, of which the rival counts a hundredth; and all five scores.

    Returns:
        `seconds` by contender for all draws, `ratio`, `standard_error`, and `difference`, the
        largest between the GAPs of a draw.
    """
    (scores,), labels = generate_scores(1, clips, num_labels)
    counts, ranking = labels.counts, rank(labels, None, scores, K)
    stream = StreamingScores(num_labels)
    stream.update(scores, labels)
    looped = max(1, draws // 100)

    def loop() -> list[float]:
        found = []
        for number in range(looped):
            drawn = np.random.default_rng([0, number]).integers(0, clips, clips)
            pooled, hits = ranking.scores[drawn].ravel(), ranking.hits[drawn].ravel()
            found.append(average_precision(pooled, hits, int(counts[drawn].sum())))
        return found

    found = bootstrap.resampled_gap(ranking, counts, draws)
    difference = np.abs(found[:looped] - loop()).max()
    contenders = {
        "onegig": lambda: bootstrap.resampled_gap(ranking, counts, draws),
        "loop": loop,
        "all five scores": stream.errors,
    }
    seconds = best_times(contenders, repeats)
    seconds["loop"] *= draws / looped
    return {
        "seconds": seconds,
        "ratio": seconds["loop"] / seconds["onegig"],
        "standard_error": bootstrap.standard_error(found),
        "difference": float(difference),
    }


if __name__ == "__main__":
    print_figures(f"{DRAWS:,} draws of {CLIPS:,} clips, {K} labels each; wanted: 5 s", measure())
