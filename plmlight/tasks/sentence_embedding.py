from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.decoding.retrieval import most_similar, unit
from plmlight.heads import Pooler, pool
from plmlight.interop import pooling_files
from plmlight.metrics.ranking import DEPTH, correlations, judged, own_last, own_places, retrieval_measures
from plmlight.nn import Encoder
from plmlight.objectives import Batch, EmbeddingObjective, InBatchNegatives
from plmlight.objectives.base import Parts
from plmlight.objectives.embedding import cosines
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.labelled import Found, ScoredTask
from plmlight.tasks.publishing import publish

Pooling = Literal["mean", "cls", "max", "pooler"]


class SentenceEmbedding(ScoredTask):
    """A text as one vector: an encoder's pooled hidden states (Reimers and Gurevych 2019, arXiv:1908.10084).

    All texts of an example are read by the same network. What is validated on decides what is measured: of pairs with
    scores the correlations with the cosines; of others how well each first text finds its partners among those of the
    whole set; of triplets also how often the partner is the nearer one. An example of one text is read twice, with
    different dropout (SimCSE: Gao et al. 2021, arXiv:2104.08821, section 3).

    Args:
        network: the encoder.
        pooling: ``mean`` and ``max`` over the tokens, ``cls`` is the first token (XLNet: the last), ``pooler``
            BERT's layer over it.
        normalise: scale the vectors to length 1.
        pooler: whether there is BERT's layer, though ``pooling`` does not use it, and it is not trained: published
            folders hold one.
        max_length: the most tokens of a text that is embedded, special ones included, of longer ones the beginning is
            read; what the network reads by default. The command line takes the data's.
        objective: what the vectors learn of each other; `InBatchNegatives` by default.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.
    """

    network: Encoder

    def __init__(
        self,
        network: Encoder,
        pooling: Pooling = "mean",
        normalise: bool = False,
        pooler: bool = False,
        max_length: int | None = None,
        objective: EmbeddingObjective | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        self.pooling, self.normalise, self.max_length = pooling, normalise, max_length
        self.objective = objective if objective is not None else InBatchNegatives()
        self.objective.check_width(network.d_model)
        self.pooler = Pooler(network.d_model, last=network.cls_last) if pooler or pooling == "pooler" else None
        if self.pooler is not None:
            self.pooler.requires_grad_(pooling == "pooler")

    @property
    def text_length(self) -> int:
        """How many tokens of a text are read: ``max_length``, and no more than the network reads."""
        return min(self.max_length or self.network.max_length, self.network.max_length)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Embeds texts.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.

        Returns:
            ``last_hidden_state`` [B, T, D] and ``sentence_embedding`` [B, D].
        """
        hidden = self.network(input_ids, attention_mask, token_type_ids, position_ids)
        if self.pooling == "pooler":
            assert self.pooler is not None
            pooled: Tensor = self.pooler(hidden, attention_mask)
        else:
            pooled = pool(hidden, attention_mask, self.pooling, last=self.network.cls_last)
        if self.normalise:
            pooled = pooled / pooled.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return {"last_hidden_state": hidden, "sentence_embedding": pooled}

    def read(self, batch: Batch) -> dict[str, Tensor]:
        """The vectors of all texts of the examples: ``sentence_embedding`` [texts, B, D]."""
        texts = ["" if place == 1 else f"_{place}" for place in range(1, 1 + batch["text_ids"].shape[1])]
        vectors = [self._embedded(batch, text) for text in (texts if len(texts) > 1 else texts * 2)]
        return {"sentence_embedding": torch.stack(vectors)}

    def _embedded(self, batch: Batch, text: str) -> Tensor:
        names = ("input_ids", "attention_mask", *(["token_type_ids"] if self.network.num_token_types > 1 else []))
        given = {name: batch[f"{name}{text}"] for name in names if f"{name}{text}" in batch}
        vectors: Tensor = self(**given)["sentence_embedding"]
        return vectors

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """That of the objective: in training with the texts of all ranks, else with those of the batch."""
        vectors, ids = outputs["sentence_embedding"], batch["text_ids"]
        known = {"text_ids": ids if ids.shape[1] > 1 else ids.expand(-1, 2)}
        if "scores" in batch:
            known["scores"] = batch["scores"]
        if self.training:
            return self.objective.loss(list(vectors), known, self.data_parallel_group)
        there = batch["sample_ids"] >= 0
        if not there.any():
            return {"loss": (vectors.new_zeros(()), vectors.new_zeros(()))}
        return self.objective.loss(list(vectors[:, there]), {name: value[there] for name, value in known.items()})

    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """The cosine and the score of a pair that has one; else the vectors of several texts, and which texts."""
        vectors = outputs["sentence_embedding"]
        if "scores" in batch:
            return {"cosines": cosines(vectors[0], vectors[1]), "scores": batch["scores"]}
        if batch["text_ids"].shape[1] == 1:
            return {}
        return {"vectors": vectors.transpose(0, 1), "text_ids": batch["text_ids"]}

    def score(self, found: Found) -> dict[str, float]:
        """``spearman`` and ``pearson``, from -1 to 1; or ``ndcg@10``, ``mrr@10``, ..., and ``triplets``, 0 to 100."""
        if "scores" in found:
            statistics = correlations(found["cosines"].astype(np.float64), found["scores"].astype(np.float64))
            return {name: float(of(np.arange(len(found["scores"]))[None])[0]) for name, of in statistics.items()}
        return retrieval_scores(found["vectors"], found["text_ids"]) if "vectors" in found else {}

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The cosine of each pair, or the vector of each single text, with the number of the sample."""
        vectors = self.read(batch)["sentence_embedding"].float()
        single = batch["text_ids"].shape[1] == 1
        answer = {"embedding": vectors[0]} if single else {"cosine": cosines(vectors[0], vectors[1])}
        there = batch["sample_ids"] >= 0
        return {"sample_ids": batch["sample_ids"][there], **{name: value[there] for name, value in answer.items()}}

    def save_pretrained(self, folder: str) -> None:
        """Writes network, pooling and tokenizer, as ``transformers.AutoModel`` and sentence-transformers open them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express the network, or sentence-transformers the pooling; or
                the folder holds other files.
        """
        width, last = self.network.d_model, self.network.cls_last
        publish(self, folder, pooling_files(self.pooling, self.normalise, width, last, self.max_length))


def retrieval_scores(vectors: NDArray[np.float32], text_ids: NDArray[np.int64]) -> dict[str, float]:
    """How well first texts find their partners among all second and further texts.

    A text's own appearance among them does not count, unless it is its own partner.

    Args:
        vectors: [N, texts, D], of a text, its partner, and texts that do not belong to it.
        text_ids: [N, texts], equal where the texts are.

    Returns:
        The means over all different first texts, from 0 to 100, and of triplets ``triplets``: how many partners are
        nearer than the third text.
    """
    asked, first = np.unique(text_ids[:, 0], return_index=True)
    documents, place = np.unique(text_ids[:, 1:], return_index=True)
    relevance: dict[int, dict[int, float]] = {query: {} for query in asked.tolist()}
    where = {document: number for number, document in enumerate(documents.tolist())}
    for query, partner in text_ids[:, :2].tolist():
        relevance[query][where[partner]] = 1.0
    known = unit(vectors[:, 1:].reshape(-1, vectors.shape[-1])[place])
    own = own_places(relevance, where, list(relevance.values()))
    places, _ = most_similar(vectors[first, 0], known, DEPTH + 1)
    gains, ideal = judged(own_last(places, own), list(relevance.values()))
    scores = {name: float(values.mean()) for name, values in retrieval_measures(gains, ideal).items()}
    if vectors.shape[1] > 2:
        text, partner, other = (unit(vectors[:, number]) for number in range(3))
        scores["triplets"] = 100 * float(((text * partner).sum(-1) > (text * other).sum(-1)).mean())
    return scores
