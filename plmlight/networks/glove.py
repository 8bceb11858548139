from __future__ import annotations

import torch
from torch import Tensor, nn

from plmlight.nn import WordVectors


class GloVe(WordVectors):
    """A vector for each word, fitted to how often words stand together (Pennington et al. 2014, D14-1162).

    ``vectors`` are the sum of both tables, as section 4.2 recommends. Both tables and the biases start uniform between
    -0.5 / D and 0.5 / D, as in the authors' program.

    Args:
        vocab_size: V.
        d_model: D, the width of the vectors.
    """

    def __init__(self, vocab_size: int, d_model: int = 100) -> None:
        super().__init__(vocab_size, d_model)
        self.input_bias = nn.Parameter(torch.empty(vocab_size))
        self.output_bias = nn.Parameter(torch.empty(vocab_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5 / d_model, 0.5 / d_model)

    def forward(self, word_ids: Tensor) -> Tensor:
        """The sums of the input and output vectors.

        Args:
            word_ids: [B], int64.

        Returns:
            [B, D].
        """
        vectors: Tensor = self.input_table(word_ids) + self.output_table(word_ids)
        return vectors
