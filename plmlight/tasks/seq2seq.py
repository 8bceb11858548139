from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.decoding import DecodingOptions, SequenceGenerator
from plmlight.heads import LMHead
from plmlight.heads.cross_entropy import IGNORED
from plmlight.metrics import perplexity
from plmlight.nn import EncoderDecoder
from plmlight.objectives import Batch, KeyedRandom, Objective, Outputs, SequenceToSequence, SpanCorruption
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.base import Task
from plmlight.tasks.checkpoint import DECODING_DEFAULTS, TARGET_TOKENIZER, TEXT_FORM
from plmlight.tasks.publishing import publish
from plmlight.tasks.sharding import gathered
from plmlight.tasks.text_scores import TextScores, Written, show_samples
from plmlight.text import TextForm, frame, nearest


class Seq2Seq(Task):
    """A model that reads a text and writes another: translation, summarisation, dialogue.

    Args:
        network: the encoder and decoder.
        objective: what it learns; `SequenceToSequence` by default.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        tie_head: whether the projection is the target's token table (Press and Wolf 2017, arXiv:1608.05859); with a
            vocabulary for both, source, target and projection then share one (arXiv:1706.03762, section 3.4).
        head_bias: whether the projection adds a number to each token's score.
        metrics: scores of what the model writes in validation and test, beside the loss: bleu, bleu_zh, chrf, rouge,
            rouge_zh, exact_match, distinct. They are logged as ``val_bleu`` and so on. What is expected is the target's
            tokens as text: what its tokenizer changes, or the data cuts off, is missing there, but not in `evaluate`.
        decoding: how it writes, by the names of `plmlight.decoding.DecodingOptions`, as ``{num_beams: 4}``; greedily by
            default. It goes along into exports as their default.
        decode_batches: how many batches of a validation are written, on each device; all by default, 0 for none. The
            loss is always of all.
        show_samples: how many texts of each validation are printed, with their sources and what was expected.
        seed: of the objective's random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.

    Attributes:
        target_tokenizer: of what is written, where it is not the source's.
        text_form: what is put before sources; the command line takes it from the data.
        decoding_defaults: fields of `DecodingOptions`, as the model's makers or the recipe chose them.

    Raises:
        ValueError: for an unknown metric or decoding option, or a count below 0.
    """

    network: EncoderDecoder
    default_objective: ClassVar[type[Objective]] = SequenceToSequence

    def __init__(
        self,
        network: EncoderDecoder,
        objective: Objective | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        tie_head: bool = True,
        head_bias: bool = False,
        metrics: list[str] | None = None,
        decoding: dict[str, Any] | None = None,
        decode_batches: int | None = None,
        show_samples: int = 0,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        self.objective = objective if objective is not None else self.default_objective()
        table = network.target_embedding.weight
        self.head = LMHead(
            table.shape[1],
            network.target_vocab_size,
            bias=head_bias,
            weight=table if tie_head else None,
            scale=network.head_scale if tie_head else 1.0,
        )
        for name, count in (("decode_batches", decode_batches), ("show_samples", show_samples)):
            if count is not None and count < 0:
                raise ValueError(f"{name} {count}: expected at least 0")
        self.metrics, self.decoding, self.decode_batches = metrics, decoding, decode_batches
        self.scores = TextScores(metrics or [], show_samples)
        self.target_tokenizer: Tokenizer | None = None
        self.text_form = TextForm()
        self.decoding_defaults: dict[str, Any] = dict(decoding or {})
        self.decoding_options()  # says what is wrong with them

    def forward(
        self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Scores the token after each position of the target.

        Args:
            input_ids: [B, S].
            decoder_input_ids: [B, T], the start token and what was written.
            attention_mask: [B, S], 0 is padding; None where nothing is.

        Returns:
            ``logits`` [B, T, V] and ``encoder_last_hidden_state`` [B, S, D].
        """
        memory = self.network.encode(input_ids, attention_mask)
        hidden, _ = self.network.decode(decoder_input_ids, memory, attention_mask)
        return {"logits": self.head(hidden), "encoder_last_hidden_state": memory}

    def check_ready(self) -> None:
        """Refuses metrics of text without a tokenizer, and more beams than tokens, beside what every task refuses.

        Raises:
            ValueError: naming what is missing, or wrong.
        """
        super().check_ready()
        if not self._writes:
            return
        # now, and not when a validation begins to decode
        self.decoding_options().check_vocabulary(self.network.target_vocab_size)
        if self.tokenizer is None:
            wanted = f"the metrics {', '.join(self.metrics)}" if self.metrics else "show_samples"
            raise ValueError(f"{type(self).__name__} needs a tokenizer for {wanted}: set the task's tokenizer")

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Lets the objective make inputs and labels, and moves the labels right behind the start token."""
        predicting = self._trainer is not None and self._trainer.predicting
        if predicting and "labels" not in batch and isinstance(self.objective, SequenceToSequence):
            return batch  # to write, sources are enough
        batch = self.objective.corrupt(batch, rng)
        return {**batch, "decoder_input_ids": self.shift_right(batch["labels"])}

    def shift_right(self, labels: Tensor) -> Tensor:
        """What the decoder reads to write ``labels`` [B, T]: the start token, and all of them but the last."""
        start = labels.new_full((labels.shape[0], 1), self.network.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, self.network.pad_token_id)], 1)

    def parts(self, batch: Batch) -> Parts:
        """The objective's loss; the vocabulary is projected to only where there are labels."""
        hidden = self.network(
            batch["input_ids"],
            batch["decoder_input_ids"],
            batch.get("attention_mask"),
            batch.get("decoder_attention_mask"),
        )
        return self.objective.loss(Outputs(hidden, self.head), batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to the sums of the data set, and writes the batch's texts where there are metrics of them."""
        super().validation_step(batch, batch_idx)
        self._score(batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to the sums of the data set, and writes the batch's texts where there are metrics of them."""
        super().test_step(batch, batch_idx)
        self._score(batch, batch_idx)

    def _score(self, batch: Batch, batch_idx: int) -> None:
        if self._writes and (self.decode_batches is None or batch_idx < self.decode_batches):
            self.evaluation_sums.add(self.scores.add(self.write(batch)))

    def _score_whole(self) -> None:
        if self._writes:
            self.evaluation_sums.add(self.scores.rest(self.data_parallel_group))

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics of the whole set, over all ranks, and shows some texts."""
        self._score_whole()
        super().on_validation_epoch_end()
        samples = self.scores.take_samples()
        if samples and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            show_samples(samples, f"after step {self.global_step}" if self.trainer.state.fn == "fit" else "validation")

    def on_test_epoch_end(self) -> None:
        """Logs the metrics of the whole set, over all ranks."""
        self._score_whole()
        super().on_test_epoch_end()
        self.scores.take_samples()

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Mean ``loss`` in nats a token, ``perplexity``, and the scores of what was written.

        Outside training the loss is the plain cross entropy, whatever is smoothed in training.
        """
        loss, count = sums["loss"], sums["loss_count"]
        metrics = {"loss": loss / max(count, 1.0), "perplexity": perplexity(loss, count)}
        return metrics | self.scores.summarise(sums)

    def decoding_options(self) -> DecodingOptions:
        """How the task writes in validation, test and prediction: ``decoding`` over ``decoding_defaults``.

        Raises:
            ValueError: for an option that is unknown or out of its range.
        """
        chosen = {**self.decoding_defaults, **(self.decoding or {})}
        known = [field.name for field in dataclasses.fields(DecodingOptions)]
        for name in chosen:
            if name not in known:
                raise ValueError(f"there is no decoding option {name!r}{nearest(name, known)}")
        return DecodingOptions(**chosen)

    def write(self, batch: Batch) -> list[Written]:
        """Writes a text for each source of a batch, leaving out rows of padding.

        Args:
            batch: ``input_ids`` and ``attention_mask`` [B, S], perhaps ``labels`` [B, T] and ``sample_ids`` [B].

        Returns:
            The texts, each the best one, with what was read and, where there are labels, what was expected.

        Raises:
            ValueError: without a tokenizer.
        """
        from plmlight.tasks.generation import TorchSequenceModel  # which is built on this

        if self.tokenizer is None:
            raise ValueError(f"{type(self).__name__} needs a tokenizer to write texts: set the task's tokenizer")
        ids = batch["input_ids"]
        mask = batch.get("attention_mask")
        mask = torch.ones_like(ids) if mask is None else mask
        there = mask.any(1) if "sample_ids" not in batch else batch["sample_ids"] >= 0
        rows = zip(ids.tolist(), mask.tolist(), there.tolist(), strict=True)
        sources = [[token for token, real in zip(row, seen, strict=True) if real] for row, seen, use in rows if use]
        target = self.target_tokenizer or self.tokenizer
        with gathered(self):
            options, form = self.decoding_options(), self.text_form
            generator = SequenceGenerator(TorchSequenceModel(self), self.tokenizer, target, options, form)
            texts = [best.text for best, *_ in generator.write(sources)]
        labels = batch["labels"][there].tolist() if "labels" in batch else [[]] * len(sources)
        closing = frame(target).closing
        expected = [target.decode([id_ for id_ in row if id_ != IGNORED and id_ not in closing]) for row in labels]
        read = self.tokenizer.decode_batch(sources)
        return [Written(*parts) for parts in zip(read, texts, expected, strict=True)]

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Sequence[Any]]:
        """Writes texts: ``sample_ids``, ``source``, ``text`` and, where the data has targets, ``expected``, all [B]."""
        written = self.write(batch)
        ids = batch["sample_ids"]
        columns: dict[str, Sequence[Any]] = {
            "sample_ids": ids[ids >= 0].tolist(),
            "source": [row.source for row in written],
            "text": [row.text for row in written],
        }
        return columns | ({"expected": [row.reference for row in written]} if "labels" in batch else {})

    @property
    def _writes(self) -> bool:
        return bool(self.scores.metrics or self.scores.show) and self.decode_batches != 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the target's tokenizer, the form of the texts, and how to decode."""
        super().on_save_checkpoint(checkpoint)
        target = self.target_tokenizer
        checkpoint[TARGET_TOKENIZER] = None if target is None else target.to_str()
        checkpoint[TEXT_FORM] = self.text_form.as_json()
        checkpoint[DECODING_DEFAULTS] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in self.decoding_defaults.items()
        }

    def restore_text(self, checkpoint: dict[str, Any]) -> None:
        """Takes from a checkpoint both tokenizers, the form of the texts and how to decode, where none is given."""
        super().restore_text(checkpoint)
        if self.target_tokenizer is None and checkpoint.get(TARGET_TOKENIZER):
            self.target_tokenizer = Tokenizer.from_str(checkpoint[TARGET_TOKENIZER])
        if self.text_form == TextForm() and checkpoint.get(TEXT_FORM):
            self.text_form = TextForm.from_json(checkpoint[TEXT_FORM])
        self.decoding_defaults = {**checkpoint.get(DECODING_DEFAULTS, {}), **self.decoding_defaults}

    def save_pretrained(self, folder: str) -> None:
        """Writes network, head and tokenizer, as ``transformers.AutoModelForSeq2SeqLM`` opens them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express the network, or the folder holds other files.
        """
        publish(self, folder, published_as=Seq2Seq.__name__)


class SpanCorruptionLM(Seq2Seq):
    """A model that learns from raw text what was taken out of it (T5, Raffel et al. 2020, arXiv:1910.10683, section 3).

    It is a `Seq2Seq` of which the objective is `SpanCorruption` by default; see there for the arguments. To fine-tune,
    start a `Seq2Seq` from its network.
    """

    default_objective: ClassVar[type[Objective]] = SpanCorruption
