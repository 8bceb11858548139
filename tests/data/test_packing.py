import pickle
from pathlib import Path

import numpy as np
import pytest

from plmlight.data.packing import Blocks, TokenStream
from plmlight.data.shards import packing_report

TOKENS = np.arange(100, dtype=np.uint16)
STARTS = np.array([0, 10, 11, 40, 90, 100])


def stream(*stretches: tuple[int, int]) -> TokenStream:
    return TokenStream(TOKENS, STARTS, np.array(stretches) if stretches else None)


def test_blocks_of_a_stream_are_its_windows() -> None:
    found = stream().gather(np.array([0, 7, 90]), 10)
    assert np.array_equal(found, np.array([0, 7, 90])[:, None] + np.arange(10))


def test_stretches_read_as_one_stream() -> None:
    parts = stream((0, 10), (11, 40), (90, 100), (100, 100))
    expected = np.concatenate([TOKENS[0:10], TOKENS[11:40], TOKENS[90:100]])
    assert len(parts) == len(expected)
    starts = np.arange(len(expected) - 14)
    assert np.array_equal(parts.gather(starts, 15), np.lib.stride_tricks.sliding_window_view(expected, 15))
    assert parts.documents.tolist() == [0, 10, 39]


def test_stretch_inside_a_document_starts_one() -> None:
    assert stream((20, 60)).documents.tolist() == [0, 20]


def test_document_numbers_count_within_each_block() -> None:
    numbers = stream().document_numbers(np.array([0, 10, 12, 85]), 12)
    assert numbers.tolist() == [[1] * 10 + [2, 3], [1] + [2] * 11, [1] * 12, [1] * 5 + [2] * 7]


def test_every_token_is_predicted_once_where_windows_cover() -> None:
    blocks = Blocks(stream(), 8, overlap=1, cover=True, pad_token_id=99)
    batch = blocks.batch(np.arange(len(blocks)), 0)
    targets = batch["input_ids"][:, 1:][batch["attention_mask"][:, 1:] == 1]
    assert targets.tolist() == list(range(1, 100))
    assert batch["input_ids"][-1].tolist() == [98, 99, 99, 99, 99, 99, 99, 99]
    assert batch["attention_mask"][-1].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_every_token_is_read_once_without_overlap() -> None:
    blocks = Blocks(stream(), 8, overlap=0, cover=True)
    batch = blocks.batch(np.arange(len(blocks)), 0)
    assert batch["input_ids"][batch["attention_mask"] == 1].tolist() == list(range(100))


def test_row_of_padding_has_no_token() -> None:
    batch = Blocks(stream(), 8, cover=True, pad_token_id=5).batch(np.array([0, -1]), 0)
    assert batch["attention_mask"].sum(1).tolist() == [8, 0]
    assert batch["input_ids"][1].tolist() == [5] * 8
    assert batch["sample_ids"].tolist() == [0, -1]


@pytest.mark.parametrize("length", [2, 3, 7, 8, 50, 51, 99, 100])
@pytest.mark.parametrize("overlap", [0, 1])
def test_shifted_windows_stay_inside_and_keep_their_number(length: int, overlap: int) -> None:
    blocks = Blocks(stream(), length, overlap)
    offsets = set()
    for epoch in range(60):
        offsets.add(blocks.offset(epoch))
        found = blocks.batch(np.arange(len(blocks)), epoch)
        assert found["attention_mask"].all()
        first = found["input_ids"][:, 0].numpy()
        assert np.array_equal(first, blocks.offset(epoch) + np.arange(len(blocks)) * blocks.stride)
        assert np.array_equal(found["input_ids"].numpy(), first[:, None] + np.arange(length))
        assert found["epoch"].item() == epoch
    assert len(offsets) > 1 or blocks.stride == 1 or length == 100


def test_isolated_documents_are_numbered_and_padding_is_0() -> None:
    batch = Blocks(stream(), 8, isolate_documents=True, cover=True).batch(np.array([1, 14]), 0)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 2, 3, 3, 3, 3], [1, 1, 0, 0, 0, 0, 0, 0]]


def test_too_short_a_stream_has_no_block() -> None:
    assert len(Blocks(stream(), 101)) == 0
    assert len(Blocks(stream(), 100)) == 1
    assert len(Blocks(stream((3, 4)), 8, cover=True)) == 0


def test_overlap_must_leave_something_new() -> None:
    with pytest.raises(ValueError, match="overlap 8 must be at least 0 and less than block_length 8"):
        Blocks(stream(), 8, overlap=8)


def test_memory_map_travels_by_name(tmp_path: Path) -> None:
    many = np.arange(50_000, dtype=np.uint16)
    many.tofile(tmp_path / "tokens.bin")
    mapped = TokenStream(np.memmap(tmp_path / "tokens.bin", np.uint16, "r"), np.array([0, 50_000]))
    mapped.gather(np.array([3]), 4)
    sent = pickle.dumps(mapped)
    assert len(sent) < 5000
    assert pickle.loads(sent).gather(np.array([7]), 3).tolist() == [[7, 8, 9]]


def test_report_counts_padding_and_cut_documents() -> None:
    # blocks of 11 that share a token hold 1 + 10 * 10 >= 100 tokens; documents 11..39 and 40..89 are cut
    report = packing_report(STARTS, 11)
    assert report == {"block_length": 11, "blocks": 10, "padding_percent": 0.9901, "truncated_percent": 40.0}
