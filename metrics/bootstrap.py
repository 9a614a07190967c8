"""Errors of estimation: how far scores move when other clips are drawn (Efron 1979).

As many clips as there are, drawn with replacement, are scored again and again: the standard
deviation of these scores is the standard error of the one that is reported. The draws depend on the
number of clips and the seed alone, so that scores of the same clips move together, and the
difference of two of them has a standard error of its own, mostly a much smaller one.

No draw is ranked anew. Which labels lie above which is settled once; a clip that was drawn twice
counts twice wherever it stands. A thousand draws are scored; of more than a million ranked labels
fewer, and never fewer than a hundred, whose standard deviation is within a tenth or so.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array

from common.threads import on_threads
from metrics.labels import Labels
from metrics.ranking import Ranking, checked_scores, slices, true_pairs

MOST_DRAWS, FEWEST_DRAWS, RANKED = 1000, 100, 1 << 30
CELLS = 1 << 21  # of clips by draws that are counted in one go

# From how often each clip was drawn, (N, B), to the scores of those draws, (B,) or several (S, B).
Score = Callable[[np.ndarray], np.ndarray]


def standard_error(resampled: np.ndarray) -> float:
    """Of a score, or of the difference of two, from its values (R,) over the draws."""
    return float(resampled.std(ddof=1))


def resampled_gap(
    ranking: Ranking, counts: np.ndarray, draws: int | None = None, seed: int = 0
) -> np.ndarray:
    """GAP@k of each of the draws, (R,).

    Args:
        ranking: The k best labels of N clips.
        counts: (N,) how many true labels each clip has, found or not.
        draws: R; None for as many as are worth their time.
        seed: Of the draws.
    """
    one = np.zeros(ranking.scores.shape, dtype=np.uint16)
    positives = csr_array(counts[None].astype(np.float64))
    score = _mean_of_precisions(one, ranking, positives)
    return _resampled(score, len(counts), draws or _draws(ranking.scores.size), seed)


def resampled_map(
    labels: Labels,
    top_labels: np.ndarray,
    top_scores: np.ndarray,
    draws: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """MAP of each of the draws, (R,); of the labels that a draw has positives of.

    The arguments are those of `mean_average_precision`.
    """
    scores = checked_scores(labels, top_labels, top_scores)
    listed = Ranking(scores, true_pairs(labels, top_labels))
    ones = np.ones(labels.columns.size)
    positives = csr_array(
        (ones, (labels.columns, labels.rows)), shape=(labels.num_labels, len(labels))
    )
    score = _mean_of_precisions(top_labels, listed, positives)
    return _resampled(score, len(labels), draws or _draws(scores.size), seed)


def resampled_means(
    values: Sequence[np.ndarray],
    counted: Sequence[np.ndarray],
    draws: int = MOST_DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """The means of S scores of single clips in each of the draws, (S, R).

    Args:
        values: By score, (n,) of those of the N clips that count.
        counted: By score, (N,) bool, which ones these are.
        draws: R.
        seed: Of the draws.
    """
    ones = np.stack(counted).astype(np.float64)
    kept = np.zeros_like(ones)
    kept[ones > 0] = np.concatenate(values)

    def score(drawn: np.ndarray) -> np.ndarray:
        return np.asarray(kept @ drawn / np.maximum(ones @ drawn, 1))

    return _resampled(score, ones.shape[1], draws, seed)


def resampled_ratio(
    above: np.ndarray, below: np.ndarray, draws: int = MOST_DRAWS, seed: int = 0
) -> np.ndarray:
    """The ratio of two sums over clips in each of the draws, (R,); 0 where there is nothing below.

    Args:
        above: (N,) of each clip.
        below: (N,) of each clip, not negative.
        draws: R.
        seed: Of the draws.
    """

    def score(drawn: np.ndarray) -> np.ndarray:
        wanted = below @ drawn
        return np.asarray(above @ drawn / np.where(wanted > 0, wanted, 1))

    return _resampled(score, len(above), draws, seed)


def _draws(ranked: int) -> int:
    return max(FEWEST_DRAWS, min(MOST_DRAWS, RANKED // max(ranked, 1)))


def _resampled(score: Score, clips: int, draws: int, seed: int) -> np.ndarray:
    """The scores of all draws, (R,) or (S, R), on as many threads as there are for pieces of work.

    A draw is the same whatever others it is counted with.
    """

    def scored(block: slice) -> np.ndarray:
        drawn = np.empty((clips, block.stop - block.start))
        for place, number in enumerate(range(block.start, block.stop)):
            picked = np.random.default_rng([seed, number]).integers(0, clips, clips)
            drawn[:, place] = np.bincount(picked, minlength=clips)
        return score(drawn)

    blocks = slices(draws, max(1, min(32, CELLS // max(clips, 1))))
    return np.concatenate(on_threads(scored, blocks), axis=-1)


def _mean_of_precisions(groups: np.ndarray, ranking: Ranking, positives: csr_array) -> Score:
    """Average precision within each group, averaged over the groups that a draw has positives of.

    Args:
        groups: (N, k) the group in which each entry of the ranking is sorted.
        ranking: N clips' scores and hits.
        positives: (groups, N) the recall's denominator, found or not.
    """
    # Group by group from the best score down; equal scores are one threshold. Groups come second
    # since numbers of 16 bits are sorted in no time.
    order = np.argsort(-ranking.scores.ravel(), kind="stable")
    order = order[np.argsort(groups.ravel()[order], kind="stable")]
    group = groups.ravel()[order].astype(np.int64)
    scores, hits = (array.ravel()[order] for array in (ranking.scores, ranking.hits))
    clips = order // groups.shape[1]
    begins = np.append(True, (group[1:] != group[:-1]) | (scores[1:] != scores[:-1]))
    threshold = np.cumsum(begins) - 1
    # Precision is asked for at the thresholds of true labels alone: an entry counts from the first
    # of them that is not above it.
    true = np.bincount(threshold, hits) > 0
    group_of = group[begins][true]
    place: np.ndarray = (np.cumsum(true) - true)[threshold]
    kept = np.append(group_of, -1)[place] == group
    where, shape = (place[kept], clips[kept]), (len(group_of), len(groups))
    found = csr_array((hits[kept], where), shape=shape)
    listed = csr_array((np.ones(len(where[0])), where), shape=shape)
    starts = np.flatnonzero(np.diff(group_of, prepend=-1))
    lengths = np.diff(np.append(starts, len(group_of)))

    def within(rows: np.ndarray) -> np.ndarray:
        """Sums from the top of each group down to every threshold."""
        sums = np.cumsum(rows, axis=0)
        if len(starts) > 1:
            before = np.zeros((len(starts), rows.shape[1]))
            before[1:] = sums[starts[1:] - 1]
            sums -= np.repeat(before, lengths, axis=0)
        return sums

    def score(drawn: np.ndarray) -> np.ndarray:
        # In place: memory for arrays of this size costs as much as the sums.
        hit = found @ drawn
        above = within(listed @ drawn)
        gained = within(hit)
        gained /= np.maximum(above, 1, out=above)
        gained *= hit
        sums = np.zeros((positives.shape[0], drawn.shape[1]))
        sums[group_of[starts]] = np.add.reduceat(gained, starts, axis=0)
        wanted = positives @ drawn
        return (sums / np.maximum(wanted, 1)).sum(axis=0) / np.maximum((wanted > 0).sum(axis=0), 1)

    return score
