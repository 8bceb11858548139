import subprocess
import sys
from pathlib import Path

from plmlight import runtime

EXAMPLES = Path(__file__).parents[2] / "serve_examples"


def test_the_generate_example_runs(bundle: Path) -> None:
    words = [sys.executable, str(EXAMPLES / "generate.py"), str(bundle), "def main(", "import "]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    first = runtime.load(bundle).generate(["def main(", "import "], max_new_tokens=32)[0][0]
    assert f"def main({first.text}\n# {first.finish_reason}" in done.stdout.decode()


def test_every_example_is_in_the_readme() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"`{path.name}`" in readme for path in EXAMPLES.glob("*.py"))
