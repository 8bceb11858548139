import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - third parties draw from the global state


@pytest.fixture(scope="session")
def filling_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 bundle of `tests.runtime.encoders.small_encoder` with pairs; tests must not change its files."""
    from plmlight.export import export_bundle
    from tests.runtime.encoders import small_encoder

    folder = tmp_path_factory.mktemp("encoders") / "filling"
    assert export_bundle(small_encoder(pairs=True), None, folder).passed
    return folder


@pytest.fixture(scope="session")
def embedding_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 bundle of `tests.runtime.encoders.small_embedder`; tests must not change its files."""
    from plmlight.export import export_bundle
    from tests.runtime.encoders import small_embedder

    folder = tmp_path_factory.mktemp("encoders") / "embedding"
    assert export_bundle(small_embedder(normalise=True), None, folder).passed
    return folder


@pytest.fixture(scope="session")
def translating_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 bundle of `tests.runtime.sequences.small_sequence`; tests must not change its files."""
    from plmlight.export import export_bundle
    from tests.runtime.sequences import small_sequence

    folder = tmp_path_factory.mktemp("sequences") / "translating"
    assert export_bundle(small_sequence(), None, folder).passed
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: "slow" not in item.keywords)
