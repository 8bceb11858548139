from __future__ import annotations

from plmlight.objectives.base import Batch
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.masked import MaskedLanguageModelling


class TranslationLanguageModelling(MaskedLanguageModelling):
    """Masked language modelling over a sentence and its translation.

    From Conneau and Lample 2019, arXiv:1901.07291, section 3.4. What makes it theirs is the batch, as `ParallelCorpus`
    gives it: ``input_ids`` [B, T] with both sentences one after the other, ``token_type_ids`` [B, T] with the number of
    each token's language, and ``position_ids`` [B, T] that begin again at the second sentence. So a hidden token can be
    read from its translation. Tokens are hidden in both sentences, each with the same probability; the paper hides
    frequent ones less often.
    """

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Hides tokens of both sentences; ``labels`` has the hidden ones.

        Raises:
            ValueError: when the batch has no languages or positions.
        """
        lacking = [name for name in ("token_type_ids", "position_ids") if name not in batch]
        if lacking:
            raise ValueError(
                "TranslationLanguageModelling needs sentences with their translations, as ParallelCorpus gives them: "
                f"the batch has no {' and no '.join(lacking)}"
            )
        return super().corrupt(batch, rng)
