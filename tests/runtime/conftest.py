from pathlib import Path

import pytest

from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle, for tests that only read it."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "sound")
