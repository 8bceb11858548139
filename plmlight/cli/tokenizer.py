"""``plmlight tokenizer``: text in, tokenizer.json out."""

from __future__ import annotations

from plmlight.cli.arguments import add_text_arguments, parse, parser
from plmlight.text import TokenizerKind

DESCRIPTION = """Trains a tokenizer and writes it to a folder that this program, the tokenizers library and
transformers.AutoTokenizer open. The same text always gives the same tokenizer.
Example: python -m plmlight tokenizer corpus/*.txt --kind byte-bpe --vocab_size 8192 --output tokenizer"""


def main(command: str, argv: list[str]) -> int:
    """Runs the command.

    Args:
        command: its name.
        argv: the words after it.

    Returns:
        The exit status.
    """
    options = parser(command, DESCRIPTION)
    add_text_arguments(options)
    options.add_argument("--output", type=str, required=True, help="the folder to write")
    options.add_argument(
        "--kind",
        type=TokenizerKind,
        default="byte-bpe",
        help="what to train; roberta, albert, xlm, t5 are byte-bpe, unigram, bpe and unigram with those models' "
        "special tokens",
    )
    options.add_argument("--vocab_size", type=int, default=8192, help="tokens at most, special ones included")
    options.add_argument(
        "--lowercase",
        type=bool,
        default=False,
        help="lower the case of all text first; BERT's and ALBERT's then have no accents either",
    )
    options.add_argument("--min_frequency", type=int, default=2, help="pairs seen less often are not merged")
    options.add_argument("--max_characters", type=int | None, default=None, help="read only so much text")
    chosen = parse(options, argv)

    from plmlight.data.progress import progress_bar
    from plmlight.data.readers import Documents
    from plmlight.data.sources import resolve
    from plmlight.text import save_tokenizer, train_tokenizer, vocabulary_size

    sources = resolve(chosen.files)
    with progress_bar(f"Training a {chosen.kind} tokenizer", None) as advance:
        documents = Documents(sources, chosen.text_field, chosen.document, chosen.max_characters, advance)
        trained = train_tokenizer(documents, chosen.kind, chosen.vocab_size, chosen.lowercase, chosen.min_frequency)
    save_tokenizer(trained, chosen.output)
    print(f"{chosen.output}: a {chosen.kind} tokenizer of {vocabulary_size(trained):,} tokens")
    return 0
