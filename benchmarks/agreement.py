"""Whether a bundle translates what torch translates, token for token.

    PLMLIGHT_DATA=... python benchmarks/agreement.py --model MODEL --bundle BUNDLE [--sentences 200]

MODEL is a checkpoint or a folder of a model from German to English, BUNDLE its export. Both translate the first
sentences of Multi30k's test2016 in one batch a side, greedily and with 4 beams; in fp32 all must be equal.
"""

import argparse
import gzip
import os
from pathlib import Path

import torch

import plmlight
from plmlight.decoding import SequenceGenerator
from plmlight.tasks import TorchSequenceModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with gzip.open(Path(os.environ["PLMLIGHT_DATA"]) / "mt" / "multi30k.test_2016_flickr.de.gz", "rt") as handle:
        sources = [line.strip() for line in handle][: arguments.sentences]
    task = plmlight.load(arguments.model)
    assert isinstance(task, plmlight.Seq2Seq)
    assert task.tokenizer is not None
    bundle = plmlight.runtime.load(arguments.bundle, provider="cpu", threads=arguments.threads)
    model = SequenceGenerator(TorchSequenceModel(task), task.tokenizer, task.target_tokenizer, bundle.options)
    for beams in (1, 4):
        found, wanted = (
            [answers[0].token_ids for answers in side.generate(sources, num_beams=beams, max_new_tokens=64)]
            for side in (bundle, model)
        )
        equal = sum(mine == its for mine, its in zip(found, wanted, strict=True))
        print(f"{beams} beams: {equal} of {len(sources)} translations equal torch's token for token", flush=True)


if __name__ == "__main__":
    main()
