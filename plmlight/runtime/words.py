"""Bundles of word vectors: from words to vectors, and to the words near them."""

from __future__ import annotations

import numpy as np

from plmlight.decoding.words import WordSpace, vocabulary_of
from plmlight.runtime.bundle import Bundle
from plmlight.runtime.bundle_model import BundleModel


class WordModel(BundleModel, WordSpace):
    """A bundle that knows words; see `WordSpace` for its methods.

    Args:
        bundle: of a ``WordVectorModel``.
        provider: see `BundleModel`, as for what follows.
        threads: the same.
        graph: the same.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        BundleModel.__init__(self, bundle, provider, threads, graph)
        self.tokenizer = self.read_tokenizer()
        words, ids = vocabulary_of(self.tokenizer)
        vectors = self.session.run(["vectors"], {"word_ids": ids})[0].astype(np.float32)
        WordSpace.__init__(self, words, vectors)
