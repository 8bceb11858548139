from plmlight.interop.albert import ALBERT_FAMILY
from plmlight.interop.bart import BART_FAMILY, MBART_FAMILY
from plmlight.interop.bert import BERT_FAMILY
from plmlight.interop.chat_template import TEMPLATE, read_chat_form
from plmlight.interop.checkpoint import is_checkpoint, read_checkpoint
from plmlight.interop.decoding import GENERATION, generation_config, read_decoding, read_prefixes
from plmlight.interop.family import Architecture, Family, Rule
from plmlight.interop.filling import fill, filled
from plmlight.interop.folder import fetch
from plmlight.interop.gpt import GPT2, OPENAI_GPT
from plmlight.interop.labels import label_settings, read_labels, read_tags, tag_settings
from plmlight.interop.marian import MARIAN_FAMILY
from plmlight.interop.pooling import pooling_files, read_pooling
from plmlight.interop.pretrained import Pretrained, load_network, merged_weights, stored_arguments
from plmlight.interop.reading import Imported, import_folder
from plmlight.interop.roberta import ROBERTA_FAMILY, XLM_ROBERTA_FAMILY
from plmlight.interop.setting import Setting, always, choice, same
from plmlight.interop.t5 import MT5_FAMILY, T5_FAMILY
from plmlight.interop.writing import write_folder
from plmlight.interop.xlm import XLM_FAMILY
from plmlight.interop.xlnet import XLNET_FAMILY

__all__ = [
    "ALBERT_FAMILY",
    "BART_FAMILY",
    "BERT_FAMILY",
    "GENERATION",
    "GPT2",
    "MARIAN_FAMILY",
    "MBART_FAMILY",
    "MT5_FAMILY",
    "OPENAI_GPT",
    "ROBERTA_FAMILY",
    "T5_FAMILY",
    "TEMPLATE",
    "XLM_FAMILY",
    "XLM_ROBERTA_FAMILY",
    "XLNET_FAMILY",
    "Architecture",
    "Family",
    "Imported",
    "Pretrained",
    "Rule",
    "Setting",
    "always",
    "choice",
    "fetch",
    "fill",
    "filled",
    "generation_config",
    "import_folder",
    "is_checkpoint",
    "label_settings",
    "load_network",
    "merged_weights",
    "pooling_files",
    "read_chat_form",
    "read_checkpoint",
    "read_decoding",
    "read_labels",
    "read_pooling",
    "read_prefixes",
    "read_tags",
    "same",
    "stored_arguments",
    "tag_settings",
    "write_folder",
]
