"""A model that reads a text and writes another: it learns to, is scored on what it wrote, and comes back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils.data import DataLoader

from plmlight.callbacks import Checkpoints
from plmlight.interop import read_checkpoint
from plmlight.loading import write_checkpoint
from plmlight.metrics import text_metrics
from plmlight.networks import Transformer
from plmlight.objectives import KeyedRandom, SequenceToSequence, SpanCorruption
from plmlight.optim import AdamW, Constant, WarmupLinear
from plmlight.tasks import Seq2Seq, SpanCorruptionLM, task_from_checkpoint
from plmlight.tasks.text_scores import TextScores, Written, show_samples
from plmlight.text import TextForm

pytestmark = pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")

LETTERS = "abcd"
PAD, END, FIRST = 0, 1, 3


def letters(**more: int) -> Tokenizer:
    vocabulary = {"<pad>": PAD, "</s>": END, "<unk>": 2, **{c: FIRST + i for i, c in enumerate(LETTERS)}, **more}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", END)])
    made.add_special_tokens([token for token in vocabulary if token.startswith("<")])
    return made


def small(**changes: Any) -> Seq2Seq:
    network = Transformer(
        vocab_size=FIRST + len(LETTERS),
        d_model=32,
        num_layers=1,
        num_heads=2,
        max_length=16,
        dropout=0.0,
        norm_first=True,
    )
    task = Seq2Seq(network, **changes)
    task.tokenizer = letters()
    return task


def reversals(rows: int, batch_size: int = 32, seed: int = 0, padding_rows: int = 0) -> DataLoader[Any]:
    """Words of two to four letters, and the same backwards."""
    generator = torch.Generator().manual_seed(seed)
    data: Any = []
    for number in range(rows + padding_rows):
        there = number < rows
        length = int(torch.randint(2, 5, (), generator=generator)) if there else 0
        text = torch.randint(FIRST, FIRST + len(LETTERS), (length,), generator=generator)
        source, labels = torch.full((5,), PAD), torch.full((5,), -100)
        if there:
            source[: length + 1] = torch.cat([text, torch.tensor([END])])
            labels[: length + 1] = torch.cat([text.flip(0), torch.tensor([END])])
        data.append(
            {
                "input_ids": source,
                "attention_mask": (torch.arange(5) <= length).long() * there,
                "labels": labels,
                "sample_ids": torch.tensor(number if there else -1),
            }
        )
    return DataLoader(data, batch_size=batch_size)


def without_targets(loader: DataLoader[Any]) -> list[dict[str, torch.Tensor]]:
    data: Any = loader.dataset
    return [{name: value for name, value in row.items() if name != "labels"} for row in data]


def trainer(folder: Path, **changes: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    settings = {"accelerator": "cpu", "max_steps": 3, "enable_checkpointing": False, "log_every_n_steps": 1, **quiet}
    return pl.Trainer(default_root_dir=folder, **{**settings, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seq2Seq, dict[str, float], dict[str, float]]:
    """A task that has learned to reverse, and its scores before and after."""
    torch.manual_seed(0)
    task = small(
        objective=SequenceToSequence(label_smoothing=0.1),
        optimizer=AdamW(6e-3, weight_decay=0.0),
        schedule=WarmupLinear(20),
        metrics=["exact_match", "chrf"],
        decoding={"max_new_tokens": 8},
    )
    run = trainer(tmp_path_factory.mktemp("reverse"), max_steps=300, num_sanity_val_steps=0)
    unseen = reversals(100, seed=9)
    (before,) = run.validate(task, unseen, verbose=False)
    run.fit(task, reversals(2000))
    (after,) = run.validate(task, unseen, verbose=False)
    return task.eval(), dict(before), dict(after)


def test_it_learns_to_write_words_backwards(trained: tuple[Seq2Seq, dict[str, float], dict[str, float]]) -> None:
    _, before, after = trained
    assert before["val_exact_match"] == 0
    assert after["val_exact_match"] == 100
    assert after["val_chrf"] == pytest.approx(100)
    assert after["val_loss"] < 0.2 < before["val_loss"]


def test_the_loss_of_validation_is_not_smoothed(
    tmp_path: Path, trained: tuple[Seq2Seq, dict[str, float], dict[str, float]]
) -> None:
    task, _, after = trained
    total, count, smoothed = 0.0, 0, 0.0
    for batch in reversals(100, seed=9):
        made = task.prepare(batch, KeyedRandom(0, None, None))
        assert (made["decoder_input_ids"][:, 0] == PAD).all()
        with torch.no_grad():
            logits = task(made["input_ids"], made["decoder_input_ids"], made["attention_mask"])["logits"].transpose(
                1, 2
            )
        total += float(F.cross_entropy(logits, batch["labels"], reduction="sum"))
        smoothed += float(F.cross_entropy(logits, batch["labels"], reduction="sum", label_smoothing=0.1))
        count += int((batch["labels"] >= 0).sum())
    assert after["val_loss"] == pytest.approx(total / count, rel=1e-4)
    assert smoothed / count > 1.2 * after["val_loss"]
    batch = task.prepare(next(iter(reversals(32, seed=9))), KeyedRandom(0, None, None))
    with torch.no_grad():
        plain, _ = task.parts(batch)["loss"]
        training, _ = task.train().parts(batch)["loss"]
    task.eval()
    assert float(training) > float(plain)


def test_it_writes_what_was_read(trained: tuple[Seq2Seq, dict[str, float], dict[str, float]]) -> None:
    task, _, _ = trained
    written = task.write(next(iter(reversals(5, 8, seed=9, padding_rows=3))))
    assert len(written) == 5
    for source, text, reference in written:
        assert text == reference == " ".join(reversed(source.split()))


def test_predictions_are_texts_even_without_targets(
    tmp_path: Path, trained: tuple[Seq2Seq, dict[str, float], dict[str, float]]
) -> None:
    task, _, _ = trained
    run = trainer(tmp_path)
    batches: Any = run.predict(task, reversals(7, 4, seed=9, padding_rows=1))
    assert [batch["sample_ids"] for batch in batches] == [[0, 1, 2, 3], [4, 5, 6]]
    assert batches[1]["text"] == batches[1]["expected"]
    bare: Any = without_targets(reversals(7, 4, seed=9))
    others: Any = trainer(tmp_path).predict(task, DataLoader(bare, batch_size=4))
    assert others[0]["text"] == batches[0]["text"]
    assert "expected" not in others[0]


def test_scores_of_batches_are_those_of_the_whole_and_rows_of_padding_count_for_nothing(tmp_path: Path) -> None:
    task = small(metrics=["bleu", "distinct", "exact_match"], decoding={"max_new_tokens": 6})
    (found,) = trainer(tmp_path).validate(task, reversals(45, 10, padding_rows=5), verbose=False)
    written = task.write(next(iter(reversals(45, 50, padding_rows=5))))
    texts, references = [row.text for row in written], [row.reference for row in written]
    for metric in text_metrics(["bleu", "distinct", "exact_match"]):
        for name, value in metric.summarise(metric.sums(texts, references)).items():
            assert found[f"val_{name}"] == pytest.approx(value)
    assert len(texts) == 45


@pytest.mark.parametrize(("batches", "count"), [(None, 40), (2, 20), (0, None)])
def test_only_so_many_batches_are_decoded(tmp_path: Path, batches: int | None, count: int | None) -> None:
    task = small(metrics=["exact_match", "distinct"], decode_batches=batches, decoding={"max_new_tokens": 2})
    seen: list[dict[str, float]] = []
    task.summarise = lambda sums: seen.append(sums) or Seq2Seq.summarise(task, sums)  # type: ignore[method-assign, func-returns-value]
    (found,) = trainer(tmp_path).test(task, reversals(40, 10), verbose=False)
    assert seen[0].get("exact_match_texts") == count
    assert ("test_exact_match" in found) == ("test_distinct_1" in found) == (count is not None)
    assert "test_perplexity" in found


def test_samples_are_shown_once_a_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = small(show_samples=2, decoding={"max_new_tokens": 2})
    trainer(tmp_path, num_sanity_val_steps=2).fit(task, reversals(32), reversals(40, 10))
    shown = capsys.readouterr().out
    assert shown.count("expected") == 3  # one epoch a step
    assert "after step 3" in shown


def test_beams_of_the_decoding_argument_are_used(trained: tuple[Seq2Seq, dict[str, float], dict[str, float]]) -> None:
    task, _, _ = trained
    assert task.decoding_options().num_beams == 1
    task.decoding_defaults = {"num_beams": 3, "max_new_tokens": 5}
    assert (task.decoding_options().num_beams, task.decoding_options().max_new_tokens) == (3, 8)
    written = task.write(next(iter(reversals(4, seed=9))))
    assert all(row.text == row.reference for row in written)
    task.decoding_defaults = {}


def test_a_checkpoint_holds_all_that_texts_need(tmp_path: Path) -> None:
    task = small(decoding={"num_beams": 2}, metrics=["bleu"])
    task.target_tokenizer = letters(z=40)
    task.text_form = TextForm({"reverse": "reverse: "}, ("<q>", "<a>"), 3)
    task.decoding_defaults |= {"forced_bos_token_id": 5, "stop": ("x",)}
    write_checkpoint(task, tmp_path / "x.ckpt")
    assert read_checkpoint(tmp_path / "x.ckpt")["task"] == "plmlight.Seq2Seq"
    again = task_from_checkpoint(tmp_path / "x.ckpt")
    assert isinstance(again, Seq2Seq)
    assert again.tokenizer is not None
    assert again.target_tokenizer is not None
    assert again.tokenizer.to_str() == letters().to_str()
    assert again.target_tokenizer.to_str() == letters(z=40).to_str()
    assert again.text_form == task.text_form
    assert again.decoding_options() == task.decoding_options()
    assert again.metrics == ["bleu"]


def test_a_resumed_run_keeps_what_the_data_gave_it(tmp_path: Path) -> None:
    task = small()
    task.text_form = TextForm({"old": "old: "})
    run = trainer(tmp_path, max_steps=1)
    run.fit(task, reversals(32))
    run.save_checkpoint(tmp_path / "x.ckpt")
    other, same = small(), small()
    other.text_form = TextForm({"new": "new: "})
    for resumed in (other, same):
        trainer(tmp_path, max_steps=2).fit(resumed, reversals(32), ckpt_path=tmp_path / "x.ckpt", weights_only=True)
    assert other.text_form == TextForm({"new": "new: "})
    assert same.text_form == TextForm({"old": "old: "})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["blue"]}, "'blue'; did you mean 'bleu'"),
        ({"decoding": {"num_beam": 2}}, "'num_beam'; did you mean 'num_beams'"),
        ({"decoding": {"num_beams": 0}}, "num_beams must be a whole number of at least 1"),
        ({"decode_batches": -1}, "decode_batches -1"),
        ({"show_samples": -1}, "show_samples -1"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_metrics_without_a_tokenizer_are_refused_before_the_run(tmp_path: Path) -> None:
    task = small(metrics=["bleu"])
    task.tokenizer = None
    with pytest.raises(ValueError, match="needs a tokenizer for the metrics bleu"):
        trainer(tmp_path).fit(task, reversals(32))
    with pytest.raises(ValueError, match="needs a tokenizer to write"):
        task.write(next(iter(reversals(2))))


def test_more_beams_than_tokens_are_refused_before_the_run(tmp_path: Path) -> None:
    beams = {"decoding": {"num_beams": 8}}
    with pytest.raises(ValueError, match="num_beams 8 is beyond the vocabulary of 7 tokens"):
        trainer(tmp_path).fit(small(metrics=["bleu"], **beams), reversals(32))
    trainer(tmp_path, max_steps=1).fit(small(**beams), reversals(32))  # which writes nothing


def test_samples_are_shown_whole_whatever_they_hold() -> None:
    text = "[red]" + "由于它的起源，加拿大英语具有美国英语和英国英语的特点。" * 3
    console = Console(file=io.StringIO(), width=60)
    show_samples([Written(text, "a", r"\[b]")], "x", console)
    assert isinstance(console.file, io.StringIO)
    rows = [line.split("│")[1:-1] for line in console.file.getvalue().splitlines() if line.startswith("│")]
    shown = ["".join(row[column].strip() for row in rows) for column in range(3)]
    assert shown == [text, "a", r"\[b]"]


def test_sources_without_targets_cannot_be_learned_from(tmp_path: Path) -> None:
    bare: Any = without_targets(reversals(8))
    with pytest.raises(ValueError, match="needs sources with targets"):
        trainer(tmp_path).fit(small(), DataLoader(bare, batch_size=4))


def test_span_corruption_is_learned_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    tokenizer = letters(**{f"<extra_id_{i}>": 9 + i for i in range(4)})

    def task() -> SpanCorruptionLM:
        torch.manual_seed(2)
        network = Transformer(vocab_size=17, d_model=16, num_layers=1, num_heads=2, max_length=20)
        made = SpanCorruptionLM(network, schedule=Constant())
        made.tokenizer = tokenizer
        return made

    def data() -> DataLoader[Any]:
        ids = FIRST + (torch.arange(21) + torch.arange(8)[:, None]) % 6
        rows: Any = [{"input_ids": row, "sample_ids": torch.tensor(i)} for i, row in enumerate(ids)]
        return DataLoader(rows, batch_size=4)

    assert isinstance(task().objective, SpanCorruption)
    assert task().objective.source_length(20) == 21
    straight, stopped, resumed = task(), task(), task()
    trainer(tmp_path, max_steps=4).fit(straight, data())
    torch.manual_seed(2)  # of the run, which the last step of the one before has changed
    path = tmp_path / "last.ckpt"
    for made, steps in ((stopped, 2), (resumed, 4)):
        saves: dict[str, Any] = {"callbacks": [Checkpoints(every_n_steps=2)], "enable_checkpointing": True}
        run = trainer(tmp_path, max_steps=steps, **saves)
        run.fit(made, data(), ckpt_path=path if steps == 4 else None, weights_only=True)
    assert isinstance(task_from_checkpoint(path), SpanCorruptionLM)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_span_corruption_without_sentinels_is_refused_before_the_run(tmp_path: Path) -> None:
    task = SpanCorruptionLM(small().network)
    task.tokenizer = letters()
    with pytest.raises(ValueError, match="<extra_id_0>"):
        trainer(tmp_path).fit(task, reversals(8))


def test_texts_that_must_be_counted_together_are() -> None:
    scores = TextScores(["distinct", "exact_match"], show=3)
    whole = [Written("s", f"a b c{i % 3}", "r") for i in range(10)]
    sums = [scores.add(whole[:4]), scores.add([]), scores.add(whole[4:])]
    assert all(set(part) == {"exact_match_equal", "exact_match_texts"} for part in sums)
    rest = {name: float(value) for name, value in scores.rest(None).items()}
    assert rest == {"distinct_1": 5.0, "distinct_2": 4.0, "distinct_words": 30.0}
    assert scores.take_samples() == whole[:3]
    assert scores.take_samples() == []
