from plmlight.networks.gpt import GPT

__all__ = ["GPT"]
