"""The encoders from before the Transformer, exported as what embeds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from plmlight import BagOfVectors, BiLSTM, runtime
from plmlight.export import export_bundle
from plmlight.nn import Encoder
from tests.runtime.encoders import small_embedder


@pytest.mark.parametrize("kind", ["bilstm", "bag"])
def test_a_bundle_embeds_as_torch_does(kind: str, tmp_path: Path) -> None:
    network: Encoder = (
        BiLSTM(vocab_size=101, d_model=24, num_layers=2, max_length=37, d_embedding=10)
        if kind == "bilstm"
        else BagOfVectors(vocab_size=101, d_model=24, max_length=37)
    )
    task = small_embedder(network)
    verdict = export_bundle(task, None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    assert {"left", "right"} <= {each["padded"] for each in verdict.measurements}
    texts = ["paris is the capital", "she opened the door and went into the garden", "."]
    found = runtime.load(tmp_path / "bundle").embed(texts)
    assert task.tokenizer is not None
    with torch.no_grad():
        for text, vector in zip(texts, found, strict=True):
            expected = task(torch.tensor([task.tokenizer.encode(text).ids]))["sentence_embedding"][0]
            np.testing.assert_allclose(vector, expected, atol=1e-4)
