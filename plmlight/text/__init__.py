from plmlight.text.chat import ChatForm
from plmlight.text.files import file_hash, replace_file, replace_folder
from plmlight.text.form import Frame, TextForm, frame
from plmlight.text.labels import ClassName, label_name
from plmlight.text.nearest import nearest
from plmlight.text.tokenizers import (
    TARGET_TOKENIZER,
    cls_stands_last,
    document_separator,
    load_target_tokenizer,
    load_tokenizer,
    save_tokenizer,
    special_token_ids,
    token_byte_lengths,
    tokenizer_hash,
    vocabulary_size,
)
from plmlight.text.training import TokenizerKind, train_tokenizer
from plmlight.text.words import word_marks

__all__ = [
    "TARGET_TOKENIZER",
    "ChatForm",
    "ClassName",
    "Frame",
    "TextForm",
    "TokenizerKind",
    "cls_stands_last",
    "document_separator",
    "file_hash",
    "frame",
    "label_name",
    "load_target_tokenizer",
    "load_tokenizer",
    "nearest",
    "replace_file",
    "replace_folder",
    "save_tokenizer",
    "special_token_ids",
    "token_byte_lengths",
    "tokenizer_hash",
    "train_tokenizer",
    "vocabulary_size",
    "word_marks",
]
