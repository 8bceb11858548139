"""Instructions with their answers, and conversations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData
from plmlight.data.records import objects
from plmlight.data.sources import resolve
from plmlight.heads.cross_entropy import IGNORED
from plmlight.text import ChatForm, TextForm, TokenizerKind, frame
from plmlight.text.chat import ROLES
from plmlight.text.nearest import nearest


@dataclass(frozen=True)
class Conversation:
    """What was said, each by whom, and where it stands."""

    where: str
    turns: tuple[tuple[str, str], ...]


class InstructionData(LabelledData[Conversation]):
    """Instructions with their answers: a decoder learns the answers, and reads the rest.

    Ouyang et al. 2022, arXiv:2203.02155, section 3.4. A line of a file is ``{"prompt": ..., "response": ...}`` or
    ``{"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}, ...]}``, where a
    conversation may begin with a ``system`` turn. Labels are the tokens of every answer, and the token that ends it.

    Args:
        files: to train on, where that is done: .jsonl.
        system: what stands for a system turn; ``{content}`` is what was said.
        user: what stands for a user's turn.
        assistant: what stands before an answer.
        tokenizer: a tokenizer.json or a folder with one; that of a network that was trained before, where it is named.
            None trains one on ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed; 0 for none.
        folds: cut ``files`` into so many parts, of which ``fold`` is held out, in place of ``validation_fraction``.
        fold: which one, from 0.
        test_files: to test on.
        predict_files: to predict on.
        max_length: tokens of a conversation at most; longer ones are cut, and left out where nothing of an answer is
            left. From the command line it is the network's, and one more.
        batch_size: conversations in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files that cannot be used, naming file and line, or a tokenizer without an end token.
    """

    per_token = ("labels",)

    def __init__(
        self,
        files: str | list[str] | None = None,
        system: str = "{content}\n\n",
        user: str = "### User:\n{content}\n\n",
        assistant: str = "### Assistant:\n",
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "bpe",
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.1,
        folds: int | None = None,
        fold: int = 0,
        test_files: str | list[str] | None = None,
        predict_files: str | list[str] | None = None,
        max_length: int | None = None,
        batch_size: int = 8,
        max_tokens: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        names = {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files}
        super().__init__(
            names, validation_fraction, folds, fold, max_length, batch_size, max_tokens, seed, num_workers, cache_folder
        )
        self._chat = ChatForm(system, user, assistant)
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)

    @property
    def text_form(self) -> TextForm:
        """What stands around instructions and answers, which whoever asks the model leaves out."""
        end = self.tokenizer.id_to_token(frame(self.tokenizer).closing[-1])
        assert end is not None
        return TextForm(chat=replace(self._chat, end=end))

    def _examples(self, files: Files) -> list[Conversation]:
        found = []
        for source in resolve(files):
            if source.kind != "jsonl":
                raise ValueError(f"{source.name}: instructions are read from .jsonl")
            found += [_conversation(where, entry) for where, entry in objects(source, "messages")]
        return found

    def _texts(self, example: Conversation) -> Iterable[str]:
        return (text for text, _ in self._pieces(example))

    def _pieces(self, example: Conversation) -> list[tuple[str, bool]]:
        """The texts of a conversation, each up to an answer or an answer, and whether it is one."""
        pieces: list[tuple[str, bool]] = []
        read = ""
        for role, content in example.turns:
            if role == "assistant":
                pieces += [(read + self._chat.assistant, False), (content, True)]
                read = ""
            else:
                read += self._chat.turn(role, content)
        return pieces

    def _rows(self, examples: Sequence[Conversation], stage: Stage) -> list[Row]:
        tokenizer = self.plain_tokenizer()
        around = frame(tokenizer)
        rows: list[Row] = []
        for example in examples:
            pieces = self._pieces(example)
            encodings = tokenizer.encode_batch([text for text, _ in pieces], add_special_tokens=False)
            ids, labels = list(around.opening), [IGNORED] * len(around.opening)
            for (_, answers), encoding in zip(pieces, encodings, strict=True):
                tokens = [*encoding.ids, *(around.closing[-1:] if answers else ())]
                ids += tokens
                labels += tokens if answers else [IGNORED] * len(tokens)
            ids, labels = ids[: self.max_length], labels[: self.max_length]
            if any(label != IGNORED for label in labels):
                rows.append({"input_ids": ids, "labels": labels})
        if len(rows) < len(examples):
            rank_zero_info(
                f"{self._named(stage)}: {len(examples) - len(rows)} of {len(examples)} conversations are left out, as "
                f"nothing of an answer is in their first {self.max_length} tokens"
            )
        return rows


def _conversation(where: str, entry: dict[str, Any]) -> Conversation:
    if "messages" in entry:
        messages = entry["messages"]
        if not isinstance(messages, list):
            raise ValueError(f"{where}: field 'messages' is {type(messages).__name__}, expected a list of turns")
        turns = tuple(_turn(f"{where}: turn {number}", message) for number, message in enumerate(messages, 1))
    elif {"prompt", "response"} <= entry.keys():
        turns = tuple(
            _turn(f"{where}: {name}", {"role": role, "content": entry[name]})
            for name, role in (("prompt", "user"), ("response", "assistant"))
        )
    else:
        keys = ", ".join(map(str, entry)) or "nothing"
        raise ValueError(f"{where}: expected fields 'prompt' and 'response', or 'messages'; there is {keys}")
    for number, (role, _) in enumerate(turns):
        if role == "assistant" and (number == 0 or turns[number - 1][0] != "user"):
            raise ValueError(f"{where}: turn {number + 1} is an assistant's, but the one before it is no user's")
    if not any(role == "assistant" for role, _ in turns):
        raise ValueError(f"{where}: has no turn of an assistant, so that there is nothing to learn")
    return Conversation(where, turns)


def _turn(where: str, message: Any) -> tuple[str, str]:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ROLES:
        raise ValueError(f"{where}: the role is {role!r}{nearest(str(role), ROLES)}")
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"{where}: the content is {content!r}, expected a text")
    return role, content.strip()
