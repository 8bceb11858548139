from typing import Any

import pytest
import torch

from plmlight.decoding import DecodingOptions, generate, stream
from tests.decoding.models import HuggingFace, Scripted, follows, hashed, tiny_gpt2

PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6], [5], [3, 5, 8, 9, 7, 9, 3, 2, 3, 8]]


def reference(model: Any, prompt: list[int], options: dict[str, Any]) -> tuple[list[list[int]], Any]:
    """What Hugging Face generates for one prompt, without the prompt and the padding."""
    found = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        pad_token_id=0,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    eos = options.get("eos_token_id")
    rows = found.sequences[:, len(prompt) :].tolist()
    answers = [row[: row.index(eos) + 1] if eos in row else row for row in rows]
    return answers, found.get("sequences_scores")


@pytest.mark.parametrize("numpy", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eos_token_id": 9},
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 2},
        {"eos_token_id": 9, "min_new_tokens": 9, "repetition_penalty": 0.8, "no_repeat_ngram_size": 3},
    ],
)
def test_greedy_equals_transformers(numpy: bool, options: dict[str, Any]) -> None:
    model = tiny_gpt2()
    found = generate(HuggingFace(model, numpy), PROMPTS, DecodingOptions(max_new_tokens=20, **options))
    for prompt, (answer,) in zip(PROMPTS, found, strict=True):
        wanted, _ = reference(model, prompt, {"max_new_tokens": 20, **options})
        assert answer.token_ids == wanted[0]


@pytest.mark.parametrize("numpy", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 3},
        {"num_beams": 4, "eos_token_id": 9, "num_return_sequences": 4},
        {"num_beams": 4, "eos_token_id": 9, "num_return_sequences": 3, "length_penalty": 2.0},
        {"num_beams": 4, "eos_token_id": 9, "num_return_sequences": 3, "length_penalty": -1.0},
        {"num_beams": 3, "eos_token_id": 9, "num_return_sequences": 3, "length_penalty": 0.0},
        {"num_beams": 3, "eos_token_id": 9, "num_return_sequences": 3, "early_stopping": True},
        {"num_beams": 3, "eos_token_id": 9, "num_return_sequences": 3, "early_stopping": "never"},
        {"num_beams": 3, "eos_token_id": 9, "num_return_sequences": 2, "repetition_penalty": 1.4},
        {"num_beams": 3, "eos_token_id": 9, "num_return_sequences": 2, "no_repeat_ngram_size": 2},
        {"num_beams": 2, "eos_token_id": 9, "num_return_sequences": 2, "min_new_tokens": 6},
    ],
)
def test_beam_search_equals_transformers(numpy: bool, options: dict[str, Any]) -> None:
    model = tiny_gpt2()
    found = generate(HuggingFace(model, numpy), PROMPTS, DecodingOptions(max_new_tokens=16, **options))
    for prompt, answers in zip(PROMPTS, found, strict=True):
        wanted, scores = reference(model, prompt, {"max_new_tokens": 16, **options})
        assert [answer.token_ids for answer in answers] == wanted
        assert [answer.score for answer in answers] == pytest.approx(scores.tolist(), rel=1e-5, abs=1e-5)


def test_the_beam_tests_meet_ends_of_both_kinds() -> None:
    """Else the comparison with transformers would say nothing about how beams finish."""
    options = DecodingOptions(max_new_tokens=16, num_beams=4, eos_token_id=9, num_return_sequences=4)
    found = generate(HuggingFace(tiny_gpt2(), True), PROMPTS, options)
    assert {answer.finish_reason for answers in found for answer in answers} == {"eos", "length"}


def test_rows_of_a_batch_have_their_own_options() -> None:
    model = HuggingFace(tiny_gpt2(), True)
    options = [
        DecodingOptions(max_new_tokens=5),
        DecodingOptions(max_new_tokens=12, num_beams=3, num_return_sequences=2, eos_token_id=9),
        DecodingOptions(max_new_tokens=9, temperature=0.8, top_k=10, num_return_sequences=2, seed=4),
        DecodingOptions(max_new_tokens=7, repetition_penalty=1.3, no_repeat_ngram_size=2),
    ]
    together = generate(model, PROMPTS, options)
    alone = [
        generate(model, [prompt], option, numbers=[number])[0]
        for number, (prompt, option) in enumerate(zip(PROMPTS, options, strict=True))
    ]
    assert [[answer.token_ids for answer in answers] for answers in together] == [
        [answer.token_ids for answer in answers] for answers in alone
    ]


def test_finished_rows_leave_the_batch() -> None:
    model = Scripted(hashed(20))
    options = [DecodingOptions(max_new_tokens=size) for size in (4, 2, 3)]
    found = generate(model, [[1], [2], [3]], options)
    assert [len(answers[0].token_ids) for answers in found] == [4, 2, 3]
    assert model.batch_sizes == [3, 3, 2, 1]


def test_samples_depend_on_the_seed_and_the_place_only() -> None:
    options = DecodingOptions(max_new_tokens=10, temperature=1.0, seed=1)
    first = generate(Scripted(hashed(30)), [[1], [2], [3]], options)
    alone = generate(Scripted(hashed(30)), [[3]], options, numbers=[2])
    other = generate(Scripted(hashed(30)), [[3]], DecodingOptions(max_new_tokens=10, temperature=1.0, seed=2))
    assert first[2] == alone[0]
    assert alone != other


def test_samples_of_one_prompt_differ() -> None:
    options = DecodingOptions(max_new_tokens=10, temperature=1.0, num_return_sequences=3)
    (answers,) = generate(Scripted(hashed(30)), [[1]], options)
    assert len({tuple(answer.token_ids) for answer in answers}) == 3


def test_temperature_zero_is_greedy_whatever_else_is_asked() -> None:
    options = DecodingOptions(max_new_tokens=10, temperature=0, top_k=5, top_p=0.5, min_p=0.1)
    assert generate(Scripted(hashed(30)), [[1]], options) == generate(
        Scripted(hashed(30)), [[1]], DecodingOptions(max_new_tokens=10)
    )


def test_any_of_several_end_tokens_ends() -> None:
    model = Scripted(follows([5, 6, 7, 8], 10))
    for eos, length in (((8, 6), 2), ((7,), 3)):
        (answer,) = generate(model, [[0]], DecodingOptions(max_new_tokens=9, eos_token_id=eos))[0]
        assert (len(answer.token_ids), answer.finish_reason) == (length, "eos")


def test_the_models_length_ends_an_answer() -> None:
    (answer,) = generate(Scripted(hashed(20), max_length=8), [[1, 2, 3]], DecodingOptions(max_new_tokens=100))[0]
    assert (len(answer.token_ids), answer.finish_reason) == (5, "length")


def test_a_prompt_without_room_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"prompt 1 has 8 tokens, but the model's length is 8 .* truncate_prompt"):
        generate(Scripted(hashed(20), max_length=8), [[1], [1] * 8])


def test_a_long_prompt_is_truncated_on_the_left_when_asked() -> None:
    model = Scripted(hashed(20), max_length=8)
    options = DecodingOptions(max_new_tokens=3, truncate_prompt=True)
    (answer,) = generate(model, [list(range(12))], options)[0]
    assert answer == generate(model, [[7, 8, 9, 10, 11]], options)[0][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": -1}, "top_k must be a whole number of at least 0, not -1"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number of at least 1, not 0"),
        ({"max_new_tokens": 2.5}, "max_new_tokens must be a whole number"),
        ({"temperature": -0.1}, "temperature must be 0 or more, not -0.1"),
        ({"temperature": float("nan")}, "temperature must be 0 or more, not nan"),
        ({"temperature": "hot"}, "temperature must be a number, not 'hot'"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0.0"),
        ({"min_p": 1.5}, "min_p must be between 0 and 1, not 1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0"),
        ({"early_stopping": "always"}, "early_stopping must be True, False or 'never', not 'always'"),
        ({"stop": ("",)}, "stop must be texts that are not empty"),
        ({"num_beams": 2, "temperature": 0.5}, "beam search does not sample"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences 3 is more than num_beams 2"),
        ({"num_return_sequences": 2}, "greedy decoding has one answer"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens 9 is more than max_new_tokens 8"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: generate(model, [[]]), "prompt 0 has no token"),
        (lambda model: generate(model, [[1]], [DecodingOptions()] * 2), "1 prompts came with 2 options"),
        (lambda model: generate(model, [[1]], DecodingOptions(stop=["x"])), "stop strings need a tokenizer"),
        (lambda model: stream(model, [1], DecodingOptions(num_beams=2)), "one answer can be streamed"),
    ],
)
def test_what_does_not_fit_together_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(Scripted(hashed(20)))


def test_no_prompts_have_no_answers() -> None:
    assert generate(Scripted(hashed(20)), []) == []
