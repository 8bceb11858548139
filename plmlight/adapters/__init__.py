from plmlight.adapters.adapter import Adapter
from plmlight.adapters.lora import LoRA
from plmlight.adapters.prefix import PrefixTuning

__all__ = ["Adapter", "LoRA", "PrefixTuning"]
