from plmlight.adapters.adapter import Adapter, adapter_weights
from plmlight.adapters.lora import LoRA
from plmlight.adapters.prefix import PrefixTuning

__all__ = ["Adapter", "LoRA", "PrefixTuning", "adapter_weights"]
