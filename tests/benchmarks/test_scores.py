from __future__ import annotations

import pytest

from benchmarks import bootstrap, gap, weightings


def test_gap_is_that_of_scikit_learn_and_the_rivals_agree() -> None:
    figures = gap.measure(clips=60, num_labels=200, repeats=1)
    assert figures["difference"] < 1e-9
    wanted = pytest.approx(figures["gap"]["scikit-learn"], abs=1e-6)
    assert figures["gap"] == dict.fromkeys(
        ("onegig", "heap", "starter kit", "scikit-learn"), wanted
    )
    assert figures["ratio"].keys() == {"heap", "starter kit"}


def test_weightings_have_the_dense_score() -> None:
    figures = weightings.measure(clips=60, num_labels=200, stored=150, weightings=20, repeats=3)
    assert figures["exact"] == 1
    assert figures["difference"] < 1e-6
    assert figures["per_second"].keys() == {"onegig", "dense"}


def test_draws_have_the_scores_of_the_loop() -> None:
    figures = bootstrap.measure(clips=60, num_labels=200, draws=300, repeats=1)
    assert figures["difference"] < 1e-12
    assert 0 < figures["standard_error"] < 0.1
    assert figures["seconds"].keys() == {"onegig", "loop", "all five scores"}


def test_many_members_score_as_the_plain_metric() -> None:
    figures = weightings.measure_many(12, 60, 401, weightings=6, checked=2)
    assert figures["exact"] == 1 and figures["difference"] < 1e-5
