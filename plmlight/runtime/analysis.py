"""Bundles of tasks with labels: from texts to classes, tags, answers."""

from __future__ import annotations

from plmlight.decoding import TextAnalyser
from plmlight.runtime.bundle import Bundle
from plmlight.runtime.bundle_model import BundleModel
from plmlight.runtime.encoding import EncoderGraph


class AnalysisModel(BundleModel, TextAnalyser):
    """A bundle that is ready to answer; its class also is its task's, with whose methods it answers.

    Args:
        bundle: of a task that `plmlight.decoding.ANALYSERS` names.
        provider: see `BundleModel`, as for what follows.
        threads: the same.
        graph: the same.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        BundleModel.__init__(self, bundle, provider, threads, graph)
        model = EncoderGraph(self.session, bundle)
        # the next class after BundleModel is the task's own
        super(BundleModel, self).__init__(model, self.read_tokenizer(), bundle.manifest["facts"])


def analysis_model(task: str, analyser: type[TextAnalyser]) -> type[AnalysisModel]:
    """The class of a task's bundles.

    Args:
        task: its name.
        analyser: what answers.

    Returns:
        A class that is both a bundle and that.
    """
    return type(f"{task}Model", (AnalysisModel, analyser), {"__doc__": analyser.__doc__, "__module__": __name__})
