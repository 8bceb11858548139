from plmlight.networks.bert import BERT
from plmlight.networks.gpt import GPT

__all__ = ["BERT", "GPT"]
