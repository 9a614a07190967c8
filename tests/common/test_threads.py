"""Pieces of work on several threads: what comes of them, in which order, and what goes wrong."""

from threading import Barrier, get_ident

import pytest

from common.threads import POOL_VARIABLE, on_threads


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_results_stand_in_the_order_of_the_items(
    threads: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POOL_VARIABLE, threads)
    assert on_threads(lambda item: item * item, range(count)) == [n * n for n in range(count)]


def test_as_many_threads_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POOL_VARIABLE, "3")
    barrier = Barrier(3, timeout=30)

    def meet(_: int) -> int:
        barrier.wait()
        return get_ident()

    assert len(set(on_threads(meet, range(3)))) == 3


@pytest.mark.parametrize("threads", ["1", "3"])
def test_an_error_of_one_piece_is_raised(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POOL_VARIABLE, threads)
    with pytest.raises(ZeroDivisionError):
        on_threads(lambda item: 1 / item, [2, 1, 0, 3])
