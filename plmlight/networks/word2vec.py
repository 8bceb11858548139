from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from plmlight.nn import WordVectors


class Word2Vec(WordVectors):
    """A vector for each word, learned from the words around it (Mikolov et al. 2013, arXiv:1301.3781, arXiv:1310.4546).

    With ``skip-gram`` each word of a window predicts the word in its middle, as in the authors' program; the paper has
    it the other way round, and over a text the pairs are the same. With ``cbow`` the mean of the window's vectors
    predicts it, and the gradient of the mean is shared out among them (the program gives each of them all of it; see
    Irsoy et al. 2021, arXiv:2012.15332, so that the learning rate has to be higher than there).

    Args:
        vocab_size: V.
        d_model: D, the width of the vectors.
        architecture: what predicts: each word of a window, or their mean.
    """

    def __init__(
        self, vocab_size: int, d_model: int = 100, architecture: Literal["skip-gram", "cbow"] = "skip-gram"
    ) -> None:
        super().__init__(vocab_size, d_model)
        self.averages = architecture == "cbow"
        nn.init.uniform_(self.input_table.weight, -0.5 / d_model, 0.5 / d_model)
        nn.init.zeros_(self.output_table.weight)

    def forward(self, word_ids: Tensor) -> Tensor:
        """The input vectors.

        Args:
            word_ids: [B], int64.

        Returns:
            [B, D].
        """
        vectors: Tensor = self.input_table(word_ids)
        return vectors
