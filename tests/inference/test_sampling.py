import pytest

from posekit.inference.sampling import EvenSample, spread_rows


@pytest.mark.parametrize("count", [1, 5, 9, 100, 1000])
def test_sample_of_many_are_evenly_spread(count):
    sample = EvenSample(6)
    for item in range(count):
        sample.add(lambda item=item: item)
    assert sample.items == list(range(0, count, sample.step)) and len(sample.items) <= 6
    assert count < 6 or len(sample.items) >= 3
    assert sample.spread(3)[0] == 0 and len(sample.spread(3)) == min(3, count)


@pytest.mark.parametrize(("total", "count"), [(1, 1), (1, 4), (0, 3), (5, 5), (7, 3), (9, 200)])
def test_spread_rows_are_distinct_and_reach_both_ends(total, count):
    rows = spread_rows(total, count).tolist()
    assert rows == sorted(set(rows)) and len(rows) == min(total, count)
    assert rows[:1] == [0][:total] and (count < 2 or rows[-1:] == [total - 1][:total])
