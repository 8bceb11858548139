"""Decoding with encoder-decoders: T5 as transformers' generate has it, and what is there besides."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, processors

import plmlight
from plmlight import GPT, CausalLM, Seq2Seq
from plmlight.decoding import DecodingOptions, Hypothesis, generate, stream, with_end
from plmlight.decoding.model import memories
from plmlight.tasks import TorchLanguageModel, TorchSequenceModel
from tests.decoding.models import Scripted, hashed, tiny_t5

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
        {"num_beams": 4, "suppress_tokens": list(range(2, 40))},
        {"suppress_tokens": list(range(2, 40))},
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


class Covered(Scripted):
    """A scripted model that also says what of its source was attended to: a function of the row."""

    def __init__(self, *arguments: Any, attention: Any) -> None:
        super().__init__(*arguments)
        self.attention = attention

    def coverage(self) -> np.ndarray:
        return np.stack([self.attention(row) for row in self.rows])


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum())
    return result


def test_the_coverage_penalty_is_gnmts() -> None:
    """Every answer of two tokens, ranked by equation 14 written out."""
    score = hashed(5)

    def attention(row: list[int]) -> np.ndarray:
        return np.array([0.2 * len(row), 0.1 * row[-1], 3.0, 1.0])

    options = DecodingOptions(
        max_new_tokens=2, num_beams=5, num_return_sequences=5, coverage_penalty=0.7, length_penalty=0.5, eos_token_id=()
    )
    found = generate(Covered(score, attention=attention), [[0]], options)[0]
    everything = {}
    for first in range(5):
        for second in range(5):
            total = log_probabilities(score([0]))[first] + log_probabilities(score([0, first]))[second]
            covered = np.minimum(attention([0, first]), 1.0)
            everything[first, second] = total / 2**0.5 + 0.7 * np.log(np.maximum(covered, 1e-9)).sum()
    scores = [everything[answer.token_ids[0], answer.token_ids[1]] for answer in found]
    assert [answer.score for answer in found] == pytest.approx(scores, rel=1e-5)
    assert scores == sorted(scores, reverse=True)
    plain = generate(Covered(score, attention=attention), [[0]], dataclasses.replace(options, coverage_penalty=0.0))[0]
    assert [answer.token_ids for answer in plain] != [answer.token_ids for answer in found]


def test_the_coverage_of_a_network_is_the_attention_of_its_rows(t5: tuple[Any, TorchSequenceModel]) -> None:
    """Summed step by step through a beam search's selections, it is that of the whole answer read at once."""
    _, model = t5
    writer = model.read(SOURCES)
    writer.start([[0]] * len(SOURCES))
    writer.select([2, 0, 0, 3])
    writer.step([5, 6, 7, 8])
    writer.select([1, 2, 0, 3])
    writer.step([9, 10, 11, 12])
    for row, (source, answer) in enumerate([(0, [0, 6, 9]), (0, [0, 7, 10]), (2, [0, 5, 11]), (3, [0, 8, 12])]):
        alone = model.read([SOURCES[source]])
        alone.start([answer])
        size = len(SOURCES[source])
        torch.testing.assert_close(writer.coverage()[row, :size], alone.coverage()[0], atol=1e-5, rtol=1e-5)
        assert alone.coverage()[0].sum() == pytest.approx(3)
        assert (writer.coverage()[row, size:] == 1).all()


@pytest.mark.parametrize(
    ("sources", "expected"),
    [([0, 0, 1, 1], [0, 1]), ([2], [2]), ([1, 1], [1]), ([0, 0, 1], [0, 0, 1]), ([0, 1, 0, 1], [0, 1, 0, 1])],
)
def test_rows_share_a_memory_where_all_have_as_many(sources: list[int], expected: list[int]) -> None:
    assert memories(sources) == expected


def test_rows_that_share_a_memory_write_what_they_write_alone(t5: tuple[Any, TorchSequenceModel]) -> None:
    _, model = t5
    writer = model.read(SOURCES)
    writer.start([[0]] * len(SOURCES))
    answers = [(source, [0]) for source in range(len(SOURCES))]
    for rows, tokens in (
        ([0, 0, 1, 1, 2, 2, 3, 3], [5, 6, 7, 8, 9, 10, 11, 12]),
        ([1, 0, 5, 5, 6, 7], [13, 14, 15, 16, 17, 18]),  # a source left
        ([0, 1, 2, 5], [19, 20, 21, 22]),  # no two have as many
    ):
        writer.select(rows)
        found = writer.step(tokens)
        answers = [(answers[row][0], [*answers[row][1], token]) for row, token in zip(rows, tokens, strict=True)]
        alone = [model.read([SOURCES[source]]).start([answer])[0] for source, answer in answers]
        torch.testing.assert_close(found, torch.stack(alone), atol=1e-5, rtol=1e-5)


def diverse_reference(score: Any, beams: int, groups: int, penalty: float, steps: int) -> list[tuple[int, ...]]:
    """Algorithm 1 of Vijayakumar et al. 2018 without an end token, written out."""
    vocabulary = len(score([0]))
    running: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ())] for _ in range(groups)]
    for _ in range(steps):
        taken: list[int] = []
        for number, group in enumerate(running):
            grown = []
            for total, tokens in group:
                each = log_probabilities(score([0, *tokens]))
                grown += [
                    (total + each[token] - penalty * taken.count(token), (*tokens, token))
                    for token in range(vocabulary)
                ]
            running[number] = sorted(grown, reverse=True)[: beams // groups]
            taken += [tokens[-1] for _, tokens in running[number]]
    return [tokens for _, tokens in sorted((beam for group in running for beam in group), reverse=True)]


@pytest.mark.parametrize(("beams", "groups"), [(2, 2), (4, 2), (6, 3), (6, 2)])
def test_diverse_beams_are_those_of_the_paper(beams: int, groups: int) -> None:
    score = hashed(40, seed=7)
    options = DecodingOptions(
        max_new_tokens=6,
        num_beams=beams,
        num_beam_groups=groups,
        diversity_penalty=0.9,
        num_return_sequences=beams,
        eos_token_id=(),
    )
    found = generate(Scripted(score), [[0], [1]], options)
    wanted = diverse_reference(score, beams, groups, 0.9, 6)
    assert [tuple(answer.token_ids) for answer in found[0]] == wanted
    assert len({tokens[0] for tokens in wanted}) > 1
    plain = dataclasses.replace(options, num_beam_groups=1, diversity_penalty=0.0)
    assert {tuple(answer.token_ids) for answer in generate(Scripted(score), [[0]], plain)[0]} != set(wanted)


def test_diverse_groups_end_each_for_itself(t5: tuple[Any, TorchSequenceModel]) -> None:
    options = {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 1.0, "num_return_sequences": 6}
    together = write(t5[1], SOURCES, max_new_tokens=STEPS, **options)
    alone = [write(t5[1], [source], max_new_tokens=STEPS, **options)[0] for source in SOURCES]
    assert [[one.token_ids for one in answers] for answers in together] == [
        [one.token_ids for one in answers] for answers in alone
    ]
    assert {one.finish_reason for answers in together for one in answers} == {"eos", "length"}
    for answers in together:
        scores = [one.score for one in answers if one.score is not None]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 6


def contrastive_reference(read: Any, prompt: list[int], top_k: int, alpha: float, steps: int) -> list[int]:
    """Equation 5 of Su et al. 2022, without a cache: ``read`` gives all logits and hidden states of a row."""
    row = list(prompt)
    for _ in range(steps):
        logits, _ = read(row)
        values, tokens = torch.softmax(logits[-1], -1).topk(top_k)
        best = []
        for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
            hidden = torch.nn.functional.normalize(read([*row, token])[1], dim=-1)
            alike = (hidden[:-1] @ hidden[-1]).max().item()
            best.append(((1 - alpha) * value - alpha * alike, token))
        row.append(max(best)[1])
        if row[-1] == EOS:
            break
    return row[len(prompt) :]


@pytest.mark.parametrize("alpha", [0.3, 0.9])
def test_contrastive_search_is_that_of_the_paper(t5: tuple[Any, TorchSequenceModel], alpha: float) -> None:
    _, model = t5
    found = write(model, SOURCES, max_new_tokens=STEPS, penalty_alpha=alpha, top_k=4)
    greedy = write(model, SOURCES, max_new_tokens=STEPS)
    for source, answers in zip(SOURCES, found, strict=True):

        def read(row: list[int], source: list[int] = source) -> tuple[torch.Tensor, torch.Tensor]:
            with torch.no_grad():
                hidden = model.task.network(torch.tensor([source]), torch.tensor([row]))
                return model.task.head(hidden)[0], hidden[0]

        assert answers[0].token_ids == contrastive_reference(read, [0], 4, alpha, STEPS)
    assert [answers[0].token_ids for answers in found] != [answers[0].token_ids for answers in greedy]


def test_contrastive_search_continues_prompts_of_different_lengths() -> None:
    torch.manual_seed(2)
    network = GPT(vocab_size=29, d_model=16, num_layers=2, num_heads=2, max_length=30)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model = TorchLanguageModel(CausalLM(network))
    prompts = [[3, 1, 4, 1, 5], [9], [2, 6]]

    def read(row: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            hidden, _ = model.task.network(torch.tensor([row]))
            return model.task.head(hidden)[0], hidden[0]

    options = DecodingOptions(max_new_tokens=9, penalty_alpha=0.6, top_k=5, eos_token_id=EOS)
    found = generate(model, prompts, options)
    for prompt, (answer,) in zip(prompts, found, strict=True):
        assert answer.token_ids == contrastive_reference(read, prompt, 5, 0.6, 9)
    pieces = [piece.token_ids[0] for piece in stream(model, prompts[0], options)]
    assert pieces == found[0][0].token_ids


def test_rows_of_all_kinds_share_a_batch(t5: tuple[Any, TorchSequenceModel]) -> None:
    _, model = t5
    each: list[dict[str, Any]] = [
        {"num_beams": 3, "num_return_sequences": 2, "coverage_penalty": 0.3},
        {"penalty_alpha": 0.5, "top_k": 3, "no_repeat_ngram_size": 1},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "num_return_sequences": 4},
        {"temperature": 0.8, "num_return_sequences": 3, "repetition_penalty": 1.2},
    ]
    options = [DecodingOptions(max_new_tokens=STEPS, eos_token_id=EOS, **changes) for changes in each]
    together = generate(model.read(SOURCES), [[0]] * 4, options)
    for place, option in enumerate(options):
        alone = generate(model.read([SOURCES[place]]), [[0]], option, numbers=[place])[0]
        assert [one.token_ids for one in together[place]] == [one.token_ids for one in alone]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 62}, "num_beams 62 is beyond the vocabulary of 61 tokens"),
        ({"forced_bos_token_id": 61}, "forced_bos_token_id 61 is beyond the vocabulary of 61 tokens"),
        ({"forced_eos_token_id": -1}, "forced_eos_token_id must be a token id, not -1"),
        ({"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 1.0}, "num_beams 4 is not a multiple of"),
        ({"num_beams": 4, "num_beam_groups": 2}, "2 beam groups without a penalty all find the same"),
        ({"num_beams": 4, "diversity_penalty": 0.5}, "diversity_penalty 0.5 holds between groups"),
        ({"coverage_penalty": 0.2}, "coverage_penalty 0.2 ranks the answers of a beam search: set num_beams"),
        ({"coverage_penalty": -0.2, "num_beams": 2}, "coverage_penalty must be 0 or more, not -0.2"),
        ({"penalty_alpha": 1.2, "top_k": 4}, "penalty_alpha must be between 0 and 1, not 1.2"),
        ({"penalty_alpha": 0.6}, r"chooses among the top_k likeliest tokens: set top_k to at least 2 \(it is 0"),
        ({"penalty_alpha": 0.6, "top_k": 4, "num_beams": 2}, "contrastive search has no num_beams: leave it at 1"),
        ({"penalty_alpha": 0.6, "top_k": 4, "temperature": 1.0}, "contrastive search does not sample"),
    ],
)
def test_what_means_nothing_is_refused(
    t5: tuple[Any, TorchSequenceModel], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(t5[1], SOURCES, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage_penalty": 0.2, "num_beams": 2}, "coverage_penalty needs a model that reads a source"),
        (
            {"penalty_alpha": 0.6, "top_k": 4},
            "contrastive search .* needs a model that gives its hidden",
        ),
    ],
)
def test_what_a_model_can_not_do_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(Scripted(hashed(20)), [[1]], DecodingOptions(**options))


def test_an_answer_ends_at_the_first_token_that_closes_a_text() -> None:
    """Behind a text of mBART's stands its language too, which no decoder waits for."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "de_DE": 2, "haus": 3}, unk_token="<unk>"))
    tokenizer.add_special_tokens(["</s>", "de_DE"])
    template = processors.TemplateProcessing(single="$A </s> de_DE", special_tokens=[("</s>", 1), ("de_DE", 2)])
    tokenizer.post_processor = template
    assert with_end(DecodingOptions(num_beams=2), tokenizer) == DecodingOptions(num_beams=2, eos_token_id=1)
    for chosen in (2, ()):
        assert with_end(DecodingOptions(eos_token_id=chosen), tokenizer) == DecodingOptions(eos_token_id=chosen)
