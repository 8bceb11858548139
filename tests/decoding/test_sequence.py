"""Decoding with encoder-decoders: T5 as transformers' generate has it, and what is there besides."""

from typing import Any

import pytest
import torch

import plmlight
from plmlight import Seq2Seq
from plmlight.decoding import DecodingOptions, Hypothesis, generate
from plmlight.tasks import TorchSequenceModel
from tests.decoding.models import tiny_t5

SOURCES = [[5, 9, 14, 3, 27, 1], [8, 8, 1], [40, 2, 33, 12, 5, 6, 7, 60, 1], [11, 1]]
EOS, STEPS = 1, 14


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, TorchSequenceModel]:
    folder = tmp_path_factory.mktemp("t5")
    theirs = tiny_t5()
    theirs.save_pretrained(folder)
    task = plmlight.load(folder)
    assert isinstance(task, Seq2Seq)
    return theirs, TorchSequenceModel(task)


def write(model: TorchSequenceModel, sources: list[list[int]], **options: Any) -> list[list[Hypothesis]]:
    prompts = [[model.decoder_start_token_id]] * len(sources)
    return generate(model.read(sources), prompts, DecodingOptions(**{"eos_token_id": EOS, **options}))


def expected(theirs: Any, sources: list[list[int]], **options: Any) -> tuple[list[list[list[int]]], list[float]]:
    """What transformers writes, all in one padded batch, without the start and the padding."""
    longest = max(map(len, sources))
    found = theirs.generate(
        torch.tensor([source + [0] * (longest - len(source)) for source in sources]),
        attention_mask=torch.tensor([[1] * len(source) + [0] * (longest - len(source)) for source in sources]),
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    rows = [row[: row.index(EOS) + 1] if EOS in row else row for row in found.sequences[:, 1:].tolist()]
    count = options.get("num_return_sequences", 1)
    scores = found.get("sequences_scores")
    return [rows[i : i + count] for i in range(0, len(rows), count)], [] if scores is None else scores.tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 4},
        {"num_beams": 4, "num_return_sequences": 4},
        {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.6},
        {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 2.0},
        {"num_beams": 4, "num_return_sequences": 3, "early_stopping": True},
        {"num_beams": 4, "num_return_sequences": 3, "early_stopping": "never", "length_penalty": 0.6},
        {"num_beams": 4, "num_return_sequences": 2, "min_new_tokens": 7},
        {"min_new_tokens": 7, "no_repeat_ngram_size": 2},
        {"num_beams": 4, "num_return_sequences": 4, "no_repeat_ngram_size": 2},
        {"num_beams": 3, "num_return_sequences": 2, "repetition_penalty": 1.3},
        {"num_beams": 4, "num_return_sequences": 2, "forced_bos_token_id": 17, "forced_eos_token_id": EOS},
        {"forced_bos_token_id": 17, "forced_eos_token_id": EOS},
    ],
    ids=str,
)
def test_t5_writes_what_transformers_writes(t5: tuple[Any, TorchSequenceModel], options: dict[str, Any]) -> None:
    theirs, model = t5
    wanted, scores = expected(theirs, SOURCES, max_new_tokens=STEPS, **options)
    found = write(model, SOURCES, max_new_tokens=STEPS, **options)
    assert [[answer.token_ids for answer in answers] for answers in found] == wanted
    if scores:
        flat = [answer.score for answers in found for answer in answers]
        assert flat == pytest.approx(scores, rel=1e-5, abs=1e-5)


def test_the_parity_tests_meet_ends_of_both_kinds(t5: tuple[Any, TorchSequenceModel]) -> None:
    found = write(t5[1], SOURCES, max_new_tokens=STEPS, num_beams=4, num_return_sequences=4)
    assert {answer.finish_reason for answers in found for answer in answers} == {"eos", "length"}
    assert len({tuple(answer.token_ids) for answers in found for answer in answers}) > 8
