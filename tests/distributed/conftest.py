import sys
from pathlib import Path

# The run that torchrun starts as a script is imported here as a module.
sys.path.insert(0, str(Path(__file__).parents[2]))
