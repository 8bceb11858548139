"""Tagging: what is learnt, what comes out, and what a CRF adds."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from plmlight import BERT, GPT, BagOfVectors, BiLSTM, TaggedText, TokenClassification, load
from plmlight.decoding.tagging import Tagger, best_tags, stitched
from plmlight.nn import Network
from plmlight.optim import AdamW, Constant
from plmlight.tasks import TorchOutputModel
from plmlight.text import train_tokenizer
from plmlight.text.tagging import transitions

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:You have overridden", "ignore:The number of training batches"),
]

LABELS = ["B-PER", "I-PER", "O"]
SENTENCES = ["john smith sleeps .", "the cat sees mary .", "mary jones runs", "a dog sees john smith ."]
TAGS = ["B-PER I-PER O O", "O O O B-PER O", "B-PER I-PER O", "O O O B-PER I-PER O"]


def files(folder: Path) -> str:
    lines = [
        "".join(f"{word} {tag}\n" for word, tag in zip(words.split(), tags.split(), strict=True))
        for words, tags in zip(SENTENCES, TAGS, strict=True)
    ]
    (folder / "train.txt").write_text("\n".join(lines * 3))
    return str(folder / "train.txt")


def network(kind: str, size: int) -> Network:
    if kind == "bert":
        return BERT(size, d_model=16, num_layers=1, num_heads=2, d_ff=16, max_length=16, dropout=0.0)
    if kind == "gpt":
        return GPT(size, d_model=16, num_layers=1, num_heads=2, d_ff=16, max_length=16, dropout=0.0)
    return BiLSTM(size, d_model=16, d_embedding=16, max_length=16, dropout=0.0)


@pytest.mark.parametrize(("kind", "crf"), [("bilstm", True), ("bert", True), ("bert", False), ("gpt", False)])
def test_it_learns_saves_and_answers(kind: str, crf: bool, tmp_path: Path) -> None:
    name = files(tmp_path)
    data = TaggedText(
        name,
        validation_files=name,
        tokenizer_vocab_size=200,
        max_length=7,  # so that the last sentence is read in parts
        batch_size=4,
        cache_folder=str(tmp_path / "cache"),
    )
    task = TokenClassification(
        network(kind, data.vocab_size),
        data.labels,
        crf=crf,
        unit=data.unit,
        head_dropout=0.0,
        optimizer=AdamW(lr=0.03),
        schedule=Constant(),
    )
    task.tokenizer = data.tokenizer
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=20,
        check_val_every_n_epoch=20,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(task, data)
    assert data.long_sentences["validate"]
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics["val_accuracy"] == metrics["val_f1"] == metrics["val_f1_PER"] == 100, metrics
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    loaded = load(str(tmp_path / "x.ckpt"))
    assert isinstance(loaded, TokenClassification)
    loaded.max_length = 7
    assert loaded.tokenizer is not None
    tagger = Tagger(TorchOutputModel(loaded), loaded.tokenizer, loaded.facts())
    text = "john  smith sleeps ."
    ((span,), words) = tagger.tag([text, ["the", "cat", "sees", "mary", "."]])
    assert (span.text, span.start, span.end, span.label) == ("john  smith", 0, 11, "PER")
    assert 0.5 < span.score <= 1
    assert [(each.text, each.start, each.end) for each in words] == [("mary", 3, 4)]
    answers = tagger.answers([{"text": text}, {"tokens": SENTENCES[3].split()}])
    assert [" ".join(answer["tags"]) for answer in answers] == [TAGS[0], TAGS[3]]


def small(crf: bool = True, **options: Any) -> TokenClassification:
    torch.manual_seed(0)
    task = TokenClassification(network("bert", 40), LABELS, crf=crf, **options)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return task.eval()


IDS = torch.arange(5, 17).view(2, 6)


def test_a_crf_sees_words_only() -> None:
    task = small()
    mask = torch.tensor([[0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 1]])
    outputs = task(IDS, word_mask=mask)
    assert task.crf is not None
    for row in range(2):
        chosen = mask[row] == 1
        alone = task.crf.decode(outputs["logits"][row, chosen][None], torch.tensor([int(chosen.sum())]))
        assert outputs["tags"][row, chosen].tolist() == alone[0].tolist()
        assert (outputs["tags"][row, ~chosen] == -100).all()
    labels = torch.where(mask == 1, torch.tensor([[0, 0, 0, 1, 2, 0], [2, 0, 0, 0, 0, 0]]), -100)
    total, count = task.loss(outputs, {"labels": labels})["loss"]
    alone_loss = sum(
        task.crf.negative_log_likelihood(
            outputs["logits"][row, mask[row] == 1][None],
            labels[row, mask[row] == 1][None],
            torch.tensor([int(mask[row].sum())]),
        )
        for row in range(2)
    )
    torch.testing.assert_close(total, torch.as_tensor(alone_loss)[0])
    assert count == 5


def test_padding_changes_no_tag() -> None:
    task = small()
    longer = torch.cat([torch.zeros(2, 3, dtype=torch.long), IDS, torch.zeros(2, 2, dtype=torch.long)], 1)[:, 3:]
    mask = torch.tensor([[1] * 6 + [0] * 2] * 2)
    with torch.no_grad():
        assert task(longer, mask)["tags"][:, :6].tolist() == task(IDS)["tags"].tolist()


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("constrained", [False, True])
def test_constrained_tags_follow_the_scheme(crf: bool, constrained: bool) -> None:
    task = small(crf, constrained=constrained)
    with torch.no_grad():
        task.head.classifier.bias[1] += 9  # I-PER, everywhere
        outputs = task(IDS)
    found = task.find(outputs, {"labels": torch.zeros(2, 6, dtype=torch.long), "sample_ids": torch.arange(2)})
    assert [int(tags[0]) for tags in found["tags"]] == ([0, 0] if constrained else [1, 1])


def test_a_kind_without_a_beginning_begins_with_its_inside() -> None:
    labels = ["B-LOC", "I-LOC", "I-PER", "O"]
    allowed = transitions(labels, "BIO")
    assert allowed.start.tolist() == [True, False, True, True]
    assert allowed.pairs[:, 1].tolist() == [True, True, False, False]
    assert allowed.pairs[:, 2].all()
    assert allowed.end.all()
    assert transitions(["B-X", "E-X", "I-Y", "O"], "BIOES").end.tolist() == [False, True, False, True]


def test_the_best_allowed_sequence_is_found() -> None:
    scores = np.log(np.array([[0.1, 0.6, 0.3], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]]))
    # I-PER may not begin: B-PER I-PER O is .1 * .8 * .6, O B-PER O only .3 * .1 * .6
    assert best_tags(scores, transitions(LABELS, "BIO")).tolist() == [0, 1, 2]


def test_rows_that_share_words_become_one_sentence() -> None:
    allowed = transitions(LABELS, "BIO")
    # in the second row the name lacks its beginning: the first row has it whole
    rows = [(0, np.array([2, 2, 0, 1, 1])), (3, np.array([2, 1, 2, 2]))]
    tags, owner = stitched(rows, allowed)
    assert tags.tolist() == [2, 2, 0, 1, 1, 2, 2]
    assert owner.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert stitched([(0, np.array([0, 1])), (2, np.array([1]))], allowed)[0].tolist() == [0, 1, 1]


def test_the_loss_is_per_word_and_skips_the_rest() -> None:
    task = small(crf=False)
    labels = torch.tensor([[-100, 0, -100, 2, -100, -100], [-100] * 6])
    outputs = task(IDS)
    total, count = task.loss(outputs, {"labels": labels})["loss"]
    expected = -outputs["logits"].log_softmax(-1)[0, [1, 3], [0, 2]].sum()
    torch.testing.assert_close(total, expected)
    assert count == 2


def test_parts_of_speech_have_an_accuracy_only() -> None:
    task = TokenClassification(network("bilstm", 9), ["NN", "VB"])
    found = {"tags": [np.array([0, 1])], "gold": [np.array([0, 0])], "example_ids": np.array([0])} | {
        "first_words": np.array([0])
    }
    assert task.score(found) == {"accuracy": 50.0}
    tagger = Tagger(TorchOutputModel(task.eval()), train_tokenizer(["a b"], "character", 9), task.facts())
    assert {span.label for span in tagger.tag(["a b"])[0]} <= {"NN", "VB"}
    assert [(span.start, span.end) for span in tagger.tag(["a b"])[0]] == [(0, 1), (2, 3)]


def test_sentences_that_were_not_read_as_a_whole_are_not_scored() -> None:
    task = TokenClassification(network("bilstm", 9), ["NN", "VB"])
    rows = [  # sentence, its words, the row's first, what was said; NN is right
        *((0, 3, 0, [0, 0]), (0, 3, 1, [0, 1])),  # whole
        *((1, 5, 2, [1, 1, 1]), (2, 5, 0, [1, 1]), (3, 6, 0, [1, 1]), (3, 6, 4, [1, 1])),  # without a part
        (4, 1, 0, [0]),
    ]
    examples, words, firsts, tags = (list(column) for column in zip(*rows, strict=True))
    found: dict[str, Any] = {
        "example_ids": np.array(examples),
        "sentence_words": np.array(words),
        "first_words": np.array(firsts),
    }
    found |= {"sample_ids": np.arange(len(rows)), "tags": [np.array(row) for row in tags]}
    found |= {"gold": [np.zeros(len(row), np.int64) for row in tags]}
    assert task.score(found) == {"accuracy": 75.0}
    assert [mistake.sample for mistake in task.analyse(found).mistakes] == [0]
    nothing = {name: values[2:6] for name, values in found.items()}
    assert task.score(nothing) == {}
    assert task.analyse(nothing).mistakes == []


def test_what_cannot_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two tags are needed"):
        TokenClassification(network("bert", 9), ["O"])
    with pytest.raises(ValueError, match="scheme BMES: the labels are tags of BIO, such as 'B-PER'"):
        TokenClassification(network("bert", 9), LABELS, scheme="BMES")


def test_bad_requests_are_named() -> None:
    task = TokenClassification(BagOfVectors(9, d_model=8, max_length=9), LABELS).eval()
    tagger = Tagger(TorchOutputModel(task), train_tokenizer(["a b"], "character", 9), task.facts())
    with pytest.raises(
        ValueError, match="request 1: expected a text under 'text' or words under 'tokens', and it has 'x'"
    ):
        tagger.answers([{"text": "a"}, {"x": 1}])
    with pytest.raises(ValueError, match="request 0: has no words"):
        tagger.tag([" "])
    with pytest.raises(ValueError, match="request 0: 'tokens' should be a list of words"):
        tagger.answers([{"tokens": "a b"}])
