import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch
from tokenizers import Tokenizer

from plmlight import Seq2Seq, Transformer
from plmlight.decoding import SequenceGenerator
from plmlight.evaluation import Bootstrap, Generation, Opened, Settings, Writer, estimate, evaluate
from plmlight.evaluation.sequence import cut_targets, text_statistics
from plmlight.metrics import text_metrics
from plmlight.tasks import TorchSequenceModel
from plmlight.text import frame, train_tokenizer

PAIRS = [(f"ein Hund {i} rennt", f"a dog {i} runs over the bridge") for i in range(12)]
REFERENCES = [target for _, target in PAIRS]
HYPOTHESES = [
    text if i % 3 else text.replace("dog", "cat").replace("over the", "on a") for i, text in enumerate(REFERENCES)
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([text for pair in PAIRS for text in pair], "unigram", 60)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Opened:
    torch.manual_seed(0)
    size = tokenizer.get_vocab_size()
    network = Transformer(size, d_model=16, num_layers=1, num_heads=2, d_ff=32, max_length=40)
    task = Seq2Seq(network=network)
    return Opened("ours", "Seq2Seq", tokenizer, Writer(SequenceGenerator(TorchSequenceModel(task), tokenizer), task))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for place, name in enumerate(("de", "en")):
        (tmp_path / f"test.{name}").write_text("".join(f"{pair[place]}\n" for pair in PAIRS))
    return [str(tmp_path / "test.de"), str(tmp_path / "test.en")]


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge", "exact_match"])
def test_statistics_of_all_pairs_and_of_samples_are_the_metrics(name: str) -> None:
    (metric,) = text_metrics([name])
    statistics = text_statistics(metric, HYPOTHESES, REFERENCES)
    drawn = np.array([[0, 0, 3, 5, 7, 7, 7, 2, 9, 10, 11, 1], list(range(12))])
    for key, statistic in statistics.items():
        for row, found in zip(drawn, statistic(drawn), strict=True):
            ours, theirs = [HYPOTHESES[i] for i in row], [REFERENCES[i] for i in row]
            assert found == pytest.approx(metric.summarise(metric.sums(ours, theirs))[key], rel=1e-12)


def test_what_is_not_additive_has_no_interval() -> None:
    (metric,) = text_metrics(["distinct"])
    statistics = text_statistics(metric, HYPOTHESES, REFERENCES)
    found = estimate(statistics["distinct_1"], len(HYPOTHESES), Bootstrap(samples=20))
    assert found.value == metric.summarise(metric.sums(HYPOTHESES, REFERENCES))["distinct_1"]
    assert math.isnan(found.low)


def test_a_model_is_scored_on_what_it_writes(model: Opened, files: list[str]) -> None:
    options: dict[str, Any] = {"num_beams": 2, "max_new_tokens": 9}
    settings = Settings(generation=Generation(("bleu", "chrf"), decoding=options), bootstrap=Bootstrap(samples=50))
    result = evaluate(model, files, settings)
    texts = result["texts"]
    assert [(text["source"], text["reference"]) for text in texts] == PAIRS
    assert isinstance(model.model, Writer)
    written = [found[0].text for found in model.model.generator.generate([source for source, _ in PAIRS], **options)]
    assert [text["hypothesis"] for text in texts] == written
    values = result["values"]
    assert list(values) == ["bleu", "chrf", "loss", "perplexity"]
    assert values["chrf"]["value"] == sacrebleu.corpus_chrf(written, [REFERENCES]).score
    assert values["chrf"]["low"] <= values["chrf"]["value"] <= values["chrf"]["high"]
    assert values["perplexity"]["value"] == pytest.approx(math.exp(values["loss"]["value"]))
    assert result["settings"]["generation"]["decoding"] == options


def test_the_loss_is_that_of_each_reference_alone(model: Opened, files: list[str]) -> None:
    assert isinstance(model.model, Writer)
    task, generator = model.model.task, model.model.generator
    assert task is not None
    opening, closing = frame(generator.tokenizer)
    total, count = 0.0, 0
    for source, target in PAIRS:
        labels = torch.tensor([[*opening, *generator.tokenizer.encode(target, add_special_tokens=False).ids, *closing]])
        with torch.no_grad():
            logits = task(torch.tensor([generator.encode(source)]), task.shift_right(labels))["logits"]
        total += float(torch.nn.functional.cross_entropy(logits[0], labels[0], reduction="sum"))
        count += labels.shape[1]
    settings = Settings(
        generation=Generation(decoding={"max_new_tokens": 2}), bootstrap=Bootstrap(samples=0), batch_size=5
    )
    result = evaluate(model, files, settings)
    assert result["values"]["loss"]["value"] == pytest.approx(total / count, rel=1e-5)
    assert result["counts"]["tokens scored"] == count


def test_a_reference_beyond_the_models_length_is_cut_before_its_end_and_counted(model: Opened, tmp_path: Path) -> None:
    long = " ".join(["a dog runs over the bridge"] * 20)
    (tmp_path / "test.tsv").write_text(f"ein Hund rennt\t{long}\nein Hund\ta dog\n")
    settings = Settings(
        generation=Generation(decoding={"max_new_tokens": 2}), bootstrap=Bootstrap(samples=0), batch_size=5
    )
    counts = evaluate(model, str(tmp_path / "test.tsv"), settings)["counts"]
    assert isinstance(model.model, Writer)
    short = len(model.model.generator.tokenizer.encode("a dog").ids)
    assert counts["references cut to be scored"] == 1
    assert counts["tokens scored"] == 40 + short
    targets, cut = cut_targets(model.model.generator, [long, "a dog"])
    assert targets[0][-1] == targets[1][-1] == model.model.generator.options.eos_token_id
    assert cut == 1


def test_a_model_without_torch_has_no_loss(model: Opened, files: list[str], tokenizer: Tokenizer) -> None:
    assert isinstance(model.model, Writer)
    bundle = Opened("bundle", "Seq2Seq", tokenizer, Writer(model.model.generator))
    settings = Settings(generation=Generation(("chrf",), decoding={"max_new_tokens": 3}), limit=4)
    result = evaluate(bundle, files, settings, baseline=model)
    assert list(result["values"]) == ["chrf"]
    assert result["comparison"]["chrf"]["difference"]["value"] == 0
    assert result["counts"]["pairs"] == 4
