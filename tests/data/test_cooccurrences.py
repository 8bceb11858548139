from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight import Cooccurrences


@pytest.fixture
def text(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    lines = [" ".join(f"w{int(n)}" for n in random.zipf(1.5, 20).clip(1, 40)) for _ in range(100)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    return tmp_path / "text.txt"


def data(path: Path, **changes: Any) -> Cooccurrences:
    settings = {"document": "line", "window": 4, "block_length": 16, "batch_size": 2}
    return Cooccurrences(str(path), cache_folder=str(path.parent / "cache"), **{**settings, **changes})


def by_hand(path: Path, found: Cooccurrences, symmetric: bool) -> dict[tuple[int, int], float]:
    counts: Counter[tuple[int, int]] = Counter()
    for line in path.read_text().split("\n"):
        ids = [found.tokenizer.token_to_id(word) or 0 for word in line.split()]
        for place, one in enumerate(ids):
            for distance in range(1, min(4, place) + 1):
                other = ids[place - distance]
                if one and other:
                    counts[one, other] += 1 / distance  # type: ignore[assignment]
                    if symmetric:
                        counts[other, one] += 1 / distance  # type: ignore[assignment]
    return dict(counts)


def everything(found: Cooccurrences) -> dict[tuple[int, int], float]:
    pairs = found.pairs().pairs.array
    assert np.array_equal(np.lexsort((pairs["second"], pairs["first"])), np.arange(len(pairs)))
    return {(int(one), int(other)): float(count) for one, other, count in pairs.tolist()}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("memory_pairs", [10**6, 50])
def test_counts_are_those_by_hand_however_little_memory_there_is(
    text: Path, symmetric: bool, memory_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plmlight.data.cooccurrences._CHUNK", 64)
    monkeypatch.setattr("plmlight.data.cooccurrences._MERGED", 7)
    found = data(text, symmetric=symmetric, memory_pairs=memory_pairs)
    assert everything(found) == pytest.approx(by_hand(text, found, symmetric), rel=1e-6)


def test_an_epoch_holds_each_pair_once_in_an_order_of_its_own(text: Path) -> None:
    pairs = data(text).pairs()
    orders = []
    for epoch in (0, 1):
        batch = pairs.batch(np.arange(len(pairs)), epoch)
        orders.append(list(zip(batch["input_ids"].tolist(), batch["context_ids"].tolist(), strict=True)))
    assert len(set(orders[0])) == len(orders[0]) == len(pairs.pairs)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1] != sorted(orders[1])


def test_a_loader_goes_on_where_it_stopped(text: Path) -> None:
    whole = list(data(text).train_dataloader())
    loader = data(text).train_dataloader()
    assert len(list(islice(loader, 3))) == 3
    resumed = data(text).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert len(whole) > 3
    for ours, theirs in zip(islice(resumed, len(whole) - 3), whole[3:], strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_words_that_stand_alone_have_no_pair(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alone\n" * 6)
    with pytest.raises(ValueError, match=r"a.txt: no two words of the vocabulary stand together"):
        data(tmp_path / "a.txt").pairs()


@pytest.mark.parametrize("name", ["min_count", "window", "memory_pairs", "block_length"])
def test_what_cannot_be_is_refused(text: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 0 must be at least 1"):
        data(text, **{name: 0})
