from .data import TextCorpus as TextCorpus
from .loading import load as load
from .networks import GPT as GPT
from .objectives import CausalLanguageModelling as CausalLanguageModelling
from .tasks import CausalLM as CausalLM
