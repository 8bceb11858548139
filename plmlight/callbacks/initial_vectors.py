from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from plmlight.text import special_token_ids, vocabulary_size, word_marks
from plmlight.text.vectors import read_vectors


class InitialVectors(pl.Callback):
    """Starts a network's token vectors from word vectors, whatever the task (as Kim 2014, arXiv:1408.5882, does).

    A token gets the vector of the word that it spells, or else of that word in lower case; a token within a word gets
    none, where the tokenizer marks such. Tokens without a word keep what they had; how many is said when the run
    begins. A resumed run goes on from its checkpoint, and needs the file only to begin.

    Args:
        file: of word vectors: .vec, .bin, .txt (GloVe), or a folder with an array and its words.
        trained: whether the vectors are trained on; else the whole table stays as it is.
        standardised: scale them to the standard deviation of the vectors that the network had.
    """

    def __init__(self, file: str, trained: bool = True, standardised: bool = False) -> None:
        self.file, self.trained, self.standardised = file, trained, standardised
        self.found = 0
        """Tokens that got a vector."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Sets the table, before a checkpoint may set it again.

        Raises:
            ValueError: when the file cannot be read, is of another width than the table, or has none of its words.
        """
        if stage != "fit":
            return
        table = self._table(pl_module)
        if not self.trained:
            table.requires_grad_(False)
        tokenizer = getattr(pl_module, "tokenizer", None)
        if not isinstance(tokenizer, Tokenizer):
            raise ValueError(f"{self.file}: the task has no tokenizer that says which token is which word")
        words, vectors = read_vectors(self.file)
        if vectors.shape[1] != table.shape[1]:
            raise ValueError(
                f"{self.file}: its vectors have {vectors.shape[1]} numbers, the network's token vectors "
                f"{table.shape[1]}; set the network's width (d_embedding or d_model) to {vectors.shape[1]}"
            )
        rows = matching_rows(tokenizer, words)
        ids = np.flatnonzero(rows >= 0)
        self.found = len(ids)
        if not len(ids):
            raise ValueError(f"{self.file}: has none of the tokenizer's {len(rows)} tokens")
        values = torch.from_numpy(np.ascontiguousarray(vectors[rows[ids]]))
        with torch.no_grad():
            if self.standardised:
                values = values * (table.std() / values.std())
            table[torch.from_numpy(ids)] = values.to(table)
        rank_zero_info(
            f"{self.file}: {len(ids)} of {len(rows)} tokens have a vector there ({len(ids) / len(rows):.0%}); the "
            f"other {len(rows) - len(ids)} keep the network's own"
        )

    def _table(self, pl_module: pl.LightningModule) -> Tensor:
        embedding = getattr(getattr(pl_module, "network", None), "token_embedding", None)
        if not isinstance(embedding, nn.Embedding):
            raise ValueError(f"{self.file}: {type(pl_module).__name__} has no table of token vectors to start from it")
        return embedding.weight


def matching_rows(tokenizer: Tokenizer, words: list[str]) -> NDArray[np.int64]:
    """The word that each token spells.

    Args:
        tokenizer: whose tokens.
        words: [N].

    Returns:
        [V], the place of each token's word, -1 where there is none.
    """
    place = {word: row for row, word in enumerate(words)}
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    special = set(special_token_ids(tokenizer).values())
    special |= {id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    spelled = {id_: tokenizer.decode([id_]).strip() for id_ in vocabulary.values() if id_ not in special}
    begins, _ = word_marks(tokenizer)
    marks = any(begins[id_] and word for id_, word in spelled.items())  # white space by itself marks no word
    found = np.full(vocabulary_size(tokenizer), -1, dtype=np.int64)
    for token, id_ in vocabulary.items():
        if id_ in special:
            found[id_] = place.get(token, -1)
        elif begins[id_] or not marks:
            found[id_] = place.get(spelled[id_], place.get(spelled[id_].lower(), -1))
    return found
