from plmlight.adapters.adapter import Adapter, adapter_weights
from plmlight.adapters.lora import LoRA
from plmlight.adapters.prefix import PrefixTuning
from plmlight.adapters.prompt import PromptTuning

__all__ = ["Adapter", "LoRA", "PrefixTuning", "PromptTuning", "adapter_weights"]
