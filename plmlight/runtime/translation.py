"""Bundles of encoder-decoders: from texts to other texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plmlight.decoding import SequenceGenerator
from plmlight.runtime.bundle import Bundle
from plmlight.runtime.bundle_model import BundleModel
from plmlight.runtime.generation import decoding_defaults
from plmlight.runtime.sequence_graph import SequenceGraph
from plmlight.text import TextForm


class TranslationModel(BundleModel, SequenceGenerator):
    """A bundle that is ready to translate, to summarise or to reply; see `SequenceGenerator` for its other methods.

    Args:
        bundle: of a ``Seq2Seq``.
        provider: see `BundleModel`, as for what follows.
        threads: the same.
        graph: the same.

    Raises:
        ValueError: when the manifest lacks what is needed, or the graphs do not fit together.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        BundleModel.__init__(self, bundle, provider, threads, graph)
        manifest, where = bundle.manifest, bundle.folder / "manifest.json"
        if self.encoder is None:
            raise ValueError(f"{where}: graph {self.graph!r} has no encoder beside it")
        for key in ("target_max_length", "decoder_start_token_id", "text_form"):
            if key not in manifest:
                raise ValueError(f"{where}: the key {key!r} is missing")
        try:
            form = TextForm.from_json(manifest["text_form"])
            model = SequenceGraph(
                self.encoder,
                self.session,
                manifest["target_max_length"],
                manifest["max_length"],
                manifest["decoder_start_token_id"],
                manifest.get("pad_token_id", 0),
                self.sessions.get("go_on"),
            )
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        target = self.read_tokenizer("target_tokenizer") if "target_tokenizer" in manifest else None
        options = decoding_defaults(bundle, None)
        SequenceGenerator.__init__(self, model, self.read_tokenizer(), target, options, form)

    def translate(
        self, texts: Sequence[str], *, batch_size: int = 32, prefix: str | None = None, **changes: Any
    ) -> list[str]:
        """Answers texts, each with one text.

        Args:
            texts: the sources.
            batch_size: how many run together, similar lengths beside each other.
            prefix: the name of the task, of a model that was trained for several.
            **changes: fields of `plmlight.decoding.DecodingOptions`, ``num_beams=4`` for example.

        Returns:
            The best answer to each, in the order of the texts.

        Raises:
            ValueError: as `SequenceGenerator.generate`.
        """
        answers = self.generate(texts, batch_size=batch_size, prefix=prefix, **changes)
        return [found[0].text for found in answers]

    def summarise(
        self, texts: Sequence[str], *, batch_size: int = 32, prefix: str | None = None, **changes: Any
    ) -> list[str]:
        """Shortens texts: `translate` by another name, for a model that was trained to; a long text is cut.

        Args:
            texts: the sources.
            batch_size: see `translate`.
            prefix: the same.
            **changes: the same; ``truncate_source=False`` makes a text that is too long an error.

        Returns:
            The best summary of each, in the order of the texts.

        Raises:
            ValueError: as `SequenceGenerator.generate`.
        """
        return self.translate(texts, batch_size=batch_size, prefix=prefix, **{"truncate_source": True, **changes})

    def reply(self, turns: Sequence[str], **changes: Any) -> str:
        """Answers the last turn of a dialogue.

        Args:
            turns: what was said, in turn by two, oldest first; only as many are read as the model was trained with.
            **changes: fields of `plmlight.decoding.DecodingOptions`.

        Returns:
            The next turn.

        Raises:
            ValueError: for a model that was not trained on dialogues, or as `SequenceGenerator.generate`.
        """
        if isinstance(turns, str):
            raise ValueError("a list of turns was expected: put brackets around the one turn")
        source = self.text_form.dialogue(turns)
        return self.generate([source], **{"truncate_source": True, **changes})[0][0].text
