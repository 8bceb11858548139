from . import data as data
from . import export as export
from . import nn as nn
from . import objectives as objectives
from . import optim as optim
from . import runtime as runtime
from . import tasks as tasks
from .data import TextCorpus as TextCorpus
from .loading import load as load
from .networks import GPT as GPT
from .objectives import CausalLanguageModelling as CausalLanguageModelling
from .tasks import CausalLM as CausalLM

__version__: str
