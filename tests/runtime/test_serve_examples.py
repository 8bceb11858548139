import json
import subprocess
import sys
from pathlib import Path

from plmlight import runtime
from plmlight.export import export_bundle
from plmlight.networks import BERT, BagOfVectors
from plmlight.tasks import LabelledTask, QuestionAnswering, Regression, TextClassification, TokenClassification
from tests.runtime.labelled import ready, small_classifier

EXAMPLES = Path(__file__).parents[2] / "serve_examples"


def test_the_generate_example_runs(bundle: Path) -> None:
    words = [sys.executable, str(EXAMPLES / "generate.py"), str(bundle), "def main(", "import "]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    first = runtime.load(bundle).generate(["def main(", "import "], max_new_tokens=32)[0][0]
    assert f"def main({first.text}\n# {first.finish_reason}" in done.stdout.decode()


def run(name: str, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_fill_mask_example_runs(filling_bundle: Path) -> None:
    printed = run("fill_mask.py", filling_bundle, "Paris is [MASK].", "[MASK] and [MASK]")
    (first,), _ = runtime.load(filling_bundle).fill(["Paris is [MASK].", "[MASK] and [MASK]"])
    assert f"{first[0].token} {first[0].score:.3f}, {first[1].token}" in printed
    assert f"\n  {first[0].text}\n" in printed


def test_the_embed_example_runs(embedding_bundle: Path) -> None:
    printed = run("embed.py", embedding_bundle, "the garden", "Paris", "the garden", "a door")
    assert printed.splitlines()[2] == "1.0000  the garden"
    assert "24 numbers a text" in printed


def test_the_search_example_keeps_its_index(embedding_bundle: Path, tmp_path: Path) -> None:
    documents = tmp_path / "documents.jsonl"
    documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("Paris", "the garden", "a door")))
    first = run("search.py", embedding_bundle, documents, "the garden")
    assert first.splitlines()[2] == "1.0000  the garden"
    assert (tmp_path / "documents.index" / "vectors.safetensors").is_file()
    documents.unlink()
    assert run("search.py", embedding_bundle, documents, "the garden") == first


def test_the_search_example_orders_by_a_cross_encoder(embedding_bundle: Path, tmp_path: Path) -> None:
    texts = ["Paris", "the garden", "a door"]
    (tmp_path / "documents.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    network = BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, max_length=37)
    bundle = exported(ready(TextClassification(network, ["score"], Regression())), tmp_path)
    scores = runtime.load(bundle).relevance([("the garden", text) for text in texts])
    wanted = [f"{score:.4f}  {text}" for score, text in sorted(zip(scores, texts, strict=True), reverse=True)]
    printed = run("search.py", embedding_bundle, tmp_path / "documents.jsonl", "the garden", bundle)
    assert printed.splitlines()[2:] == wanted


def test_the_translate_example_runs(translating_bundle: Path, tmp_path: Path) -> None:
    texts = ["the door", "she opened\u2028the garden", "a" * 90]  # a separator within a line ends no line
    (tmp_path / "in.txt").write_text("\n".join(texts))
    printed = run("translate.py", translating_bundle, tmp_path / "in.txt", tmp_path / "out.txt")
    wanted = runtime.load(translating_bundle).translate(
        texts[:2], num_beams=4, max_new_tokens=128, truncate_source=True
    )
    written = (tmp_path / "out.txt").read_text()
    assert written.startswith("".join(f"{each}\n" for each in wanted))
    assert "3 lines in" in printed


def test_every_example_is_in_the_readme() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"`{path.name}`" in readme for path in EXAMPLES.glob("*.py"))


def exported(task: LabelledTask, folder: Path) -> Path:
    assert export_bundle(task, None, folder / "bundle").passed
    (folder / "in.txt").write_text("paris is the capital\n\nshe opened\u2028the door\n")
    return folder / "bundle"


def test_the_classify_example_runs(tmp_path: Path) -> None:
    bundle = exported(small_classifier(BagOfVectors(101, d_model=24, max_length=37)), tmp_path)
    first, second = map(json.loads, run("classify.py", bundle, tmp_path / "in.txt").split("\n")[:-1])
    assert (first["text"], second["text"]) == ("paris is the capital", "she opened\u2028the door")
    assert first["label"] == runtime.load(bundle).classify([first["text"]])[0][0].label


def test_the_tag_example_marks_every_word_that_is_tagged(tmp_path: Path) -> None:
    bundle = exported(ready(TokenClassification(BagOfVectors(101, d_model=24, max_length=37), ["A", "B"])), tmp_path)
    spans = runtime.load(bundle).tag(["paris is the capital"])[0]
    printed = run("tag.py", bundle, tmp_path / "in.txt").removesuffix("\n").split("\n")
    assert printed[0] == " ".join(f"[{span.label} {span.text}]" for span in spans)
    assert len(printed) == 2


def test_the_answer_example_shows_what_stands_around(tmp_path: Path) -> None:
    network = BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, max_length=64)
    bundle = exported(ready(QuestionAnswering(network, 48, 8)), tmp_path)
    printed = run("answer.py", bundle, tmp_path / "in.txt", "the capital").splitlines()
    (best,) = runtime.load(bundle).answer("the capital", (tmp_path / "in.txt").read_text())
    assert printed[0] == "the capital"
    assert printed[1].startswith(f"  {best.score:.3f}  {best.text}")
