"""From a trained task to a bundle that is proven to be it.

`export_bundle` traces the graphs that a recipe asks for, compares each with torch, and writes verdict and all into one
folder. What a task's graphs and checks are is said in `plmlight.export.tasks`.
"""

from plmlight.export.bundle import export_bundle
from plmlight.export.recipe import Limits, Quantisation, Range, Recipe, load_recipe
from plmlight.export.specification import GraphSpec, TensorSpec
from plmlight.export.verdict import Check, Verdict

__all__ = [
    "Check",
    "GraphSpec",
    "Limits",
    "Quantisation",
    "Range",
    "Recipe",
    "TensorSpec",
    "Verdict",
    "export_bundle",
    "load_recipe",
]
