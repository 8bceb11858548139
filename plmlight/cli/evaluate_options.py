"""The options of ``evaluate``."""

from __future__ import annotations

from typing import Literal

from plmlight.cli.arguments import OneLineErrors, add_running_arguments, parser
from plmlight.cli.decoding_options import DECODING, add_decoding_options

DESCRIPTION = """Measures a bundle, a checkpoint, a Hugging Face folder or a hub id on data, with bootstrap intervals.
perplexity and bits-per-byte: language models that read left to right, every token with as much before it as the model
reads. pseudo-perplexity: masked language models, each token hidden in turn. similarity: rank correlation of the cosines
of two texts' vectors with given scores. retrieval: how early the texts that belong to a query come when all are ranked
by the cosine (nDCG, MRR, MAP, recall), and with --rerank the first of them by a model that reads both together.
generation: BLEU, chrF, ROUGE, exact matches or distinct n-grams of what an encoder-decoder writes, decoded as asked
for, and in torch the loss and perplexity of what it should have written.
labels: a task that was trained on labels on data of its kind, with its own measures.
words: word vectors on a file of word pairs with scores (rank correlation) or of analogies (3CosAdd, by section).
Examples:
python -m plmlight evaluate bundles/de-en --data test.de test.en --metrics bleu chrf --num_beams 4 --texts written.jsonl
python -m plmlight evaluate runs/last.ckpt --data test.txt --baseline runs/other.ckpt --output result.json"""

WRITING = tuple(name for name in DECODING if name != "seed")
"""What decides how texts are written; the seed is that of the bootstrap."""


def evaluate_parser(command: str) -> OneLineErrors:
    """The parser of the command.

    Args:
        command: its name.
    """
    options = parser(command, DESCRIPTION)
    add = options.add_argument
    add("model", type=str, help="a bundle, a checkpoint, a Hugging Face folder, or a hub id")
    add(
        "--data",
        type=str,
        nargs="+",
        required=True,
        help="text, as `tokenizer` reads it; for similarity one .csv, .tsv or .jsonl file of pairs; for retrieval one "
        "of pairs, or queries.jsonl corpus.jsonl relevance.tsv, or their folder (BEIR); for generation two "
        "files of lines, one of two columns (source, tab, reference), or one with fields (.jsonl, .csv, .parquet); "
        "for a model of dialogues these, as `fit` reads them",
    )
    add(
        "--metric",
        type=str,
        default=None,
        help="perplexity, bits-per-byte, pseudo-perplexity, permutation-perplexity (XLNet in torch, in orders of a "
        "fixed seed), similarity, retrieval, generation, words (word vectors on pairs with scores, or on analogies) or "
        "labels; by default what fits the model",
    )
    add("--baseline", type=str, default=None, help="another model, to be compared with on the same data")
    add("--limit", type=int, default=None, help="take only so many documents, pairs or queries")
    add("--batch_size", type=int, default=16, help="rows that run together")
    add("--output", type=str, default=None, help="write the numbers and all that led to them to this JSON file")
    add(
        "--texts",
        type=str,
        default=None,
        help="write source, hypothesis and reference, or of labels request, gold and answer, to this JSON-lines file",
    )
    _add_perplexity(options)
    _add_generation(options)
    _add_vectors(options)
    _add_labels(options)
    _add_bootstrap(options)
    add_decoding_options(options, WRITING)
    add_running_arguments(options)
    return options


def _add_perplexity(options: OneLineErrors) -> None:
    add = options.add_argument_group("texts and their perplexity").add_argument
    add("--text_field", type=str, default="text", help="the field or column that holds the text; of labels too")
    add(
        "--document",
        type=Literal["file", "line", "paragraph"],
        default=None,
        help="a document of plain text: by default the file, for pseudo-perplexity the line",
    )
    add("--context", type=int, default=None, help="the most tokens to read at once; the model's length by default")
    add("--stride", type=int, default=None, help="tokens that a window moves; half the context by default")
    add("--prefix", type=bool, default=True, help="score a document's first token too, after the end-of-text token")


def _add_generation(options: OneLineErrors) -> None:
    add = options.add_argument_group("generation").add_argument
    add(
        "--metrics",
        type=str,
        nargs="+",
        default=None,
        help="bleu, bleu_zh, chrf, rouge, rouge_zh, exact_match, distinct (usual: bleu chrf)",
    )
    add(
        "--source_field",
        type=str,
        default=None,
        help="the field of a source (usual: source), or of a dialogue's turns (usual: turns)",
    )
    add(
        "--target_field",
        type=str,
        default=None,
        help="the field of a reference (usual: target), or of a turn's text where turns are objects (usual: text)",
    )
    add("--reverse", action="store_true", help="take the second file, column or field for the source")
    add("--task_prefix", type=str, default=None, help="the name of the task that the model is asked for")


def _add_vectors(options: OneLineErrors) -> None:
    add = options.add_argument_group("similarity, retrieval and word vectors").add_argument
    add("--sentence1", type=str, default="sentence1", help="the column of the first text, or its number from 1")
    add("--sentence2", type=str, default="sentence2", help="the column of the second text, or its number")
    add("--score", type=str, default="score", help="the column of the score, or its number")
    add(
        "--rerank",
        type=str,
        default=None,
        help="of retrieval: a classifier of pairs (a cross-encoder) that orders what was found; the model alone is "
        "the baseline then",
    )
    add("--candidates", type=int, default=100, help="of retrieval: how many documents of a query --rerank reads")
    add(
        "--vocabulary",
        type=int,
        default=None,
        help="of word vectors: use only so many of the first words, in most files the most frequent ones",
    )


def _add_labels(options: OneLineErrors) -> None:
    add = options.add_argument_group("labels").add_argument
    add("--pair_field", type=str, default=None, help="the field of a second text, where there is one")
    add("--label_field", type=str, default="label", help="the field of the label")
    add("--label_separator", type=str, default=",", help="between several of a text")
    add(
        "--file_format",
        type=Literal["auto", "csv", "tsv", "jsonl", "parquet", "text"],
        default="auto",
        help="of texts with classes: what the files are, whatever their names say",
    )
    add("--encoding", type=str, default="utf-8", help="how the files are written (latin-1, gb18030, ...)")
    add("--word_column", type=int, default=0, help="of tags in columns: the column of the word, from 0")
    add("--tag_column", type=int, default=-1, help="of tags in columns: the column of the tag; -1 is the last one")
    add(
        "--on_error",
        type=Literal["error", "search", "skip"],
        default="error",
        help="where a text is empty, a class unknown, an answer not at its offset, a question too long, or entities "
        "missing, nested, empty or too far apart: skip leaves it out, and of answers search first looks elsewhere in "
        "the context; what is left out is listed",
    )


def _add_bootstrap(options: OneLineErrors) -> None:
    add = options.add_argument_group("bootstrap").add_argument
    add("--samples", type=int, default=1000, help="how many; 0 for no intervals")
    add("--confidence", type=float, default=0.95, help="of the intervals")
    add("--seed", type=int, default=0, help="of the samples")
