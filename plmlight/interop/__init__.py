from plmlight.interop.checkpoint import is_checkpoint, read_checkpoint
from plmlight.interop.family import Family, Rule, Setting, always, choice, same
from plmlight.interop.filling import filled
from plmlight.interop.folder import fetch
from plmlight.interop.gpt import GPT2, OPENAI_GPT
from plmlight.interop.pretrained import Pretrained, load_network, stored_arguments
from plmlight.interop.reading import Imported, import_folder
from plmlight.interop.writing import write_folder

__all__ = [
    "GPT2",
    "OPENAI_GPT",
    "Family",
    "Imported",
    "Pretrained",
    "Rule",
    "Setting",
    "always",
    "choice",
    "fetch",
    "filled",
    "import_folder",
    "is_checkpoint",
    "load_network",
    "read_checkpoint",
    "same",
    "stored_arguments",
    "write_folder",
]
