import pytest
import torch

from plmlight.objectives import KeyedRandom

IDS = torch.arange(64)


def drawn(ids: torch.Tensor = IDS, length: int = 256, stream: int = 0, seed: int = 0, epoch: int = 0) -> torch.Tensor:
    return KeyedRandom(seed, ids, torch.tensor(epoch)).uniform(length, stream)


def test_numbers_are_uniform() -> None:
    numbers = drawn(torch.arange(1000), 100).double()
    assert numbers.dtype == torch.float64
    assert float(numbers.min()) >= 0
    assert float(numbers.max()) < 1
    counts = torch.histc(numbers, 20, 0, 1)
    assert float(((counts - 5000) ** 2 / 5000).sum()) < 43.8  # chi-squared, 19 degrees of freedom, 0.1 %


@pytest.mark.parametrize("other", ["position", "sample", "epoch", "seed", "stream"])
def test_neighbours_in_anything_are_not_correlated(other: str) -> None:
    one = drawn()
    two = {
        "position": one.roll(1, 1),
        "sample": one.roll(1, 0),
        "epoch": drawn(epoch=1),
        "seed": drawn(seed=1),
        "stream": drawn(stream=1),
    }[other]
    assert abs(float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])) < 0.03


def test_no_two_keys_share_their_numbers() -> None:
    """Neither a sample's second stream and the next sample's first, nor the next seed's at some distance."""
    rows = [drawn(torch.arange(100_000), 2, stream, seed) for stream in range(3) for seed in range(2)]
    everything = torch.cat([(row[:, 0].double() * 2**24 + row[:, 1].double()) for row in rows])
    assert len(everything.unique()) >= len(everything) - 1


def test_a_sample_gets_the_same_whatever_its_batch_and_length() -> None:
    whole = drawn()
    order = torch.randperm(64)
    assert torch.equal(drawn(IDS[order])[order.argsort()], whole)
    assert torch.equal(drawn(IDS[5:6], 100), whole[5:6, :100])


def test_numbers_never_change() -> None:
    """What a checkpoint's run drew, a later version draws again."""
    numbers = drawn(torch.tensor([0, 2**40]), 2, stream=1, seed=7, epoch=3)
    assert (numbers * 2**24).long().tolist() == [[5656046, 13143617], [4314028, 10608362]]


def test_the_data_must_number_its_samples() -> None:
    with pytest.raises(ValueError, match="no sample_ids"):
        KeyedRandom(0, None, None).uniform(3, 0)
