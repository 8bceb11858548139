"""``plmlight prepare``: text in, tokenised shards out."""

from __future__ import annotations

from pathlib import Path

from plmlight.cli.arguments import add_text_arguments, parse, parser

DESCRIPTION = """Tokenises text once, into a folder of memory-mapped shards with a manifest (tokens, documents, hashes,
unknown, padding and truncation percentages). Train on it with --data.files FOLDER. Pairs of texts (translation,
summaries, dialogues) are not prepared: fit tokenises them itself.
Example: python -m plmlight prepare corpus/*.jsonl.zst --tokenizer tokenizer --output shards"""


def main(command: str, argv: list[str]) -> int:
    """Runs the command.

    Args:
        command: its name.
        argv: the words after it.

    Returns:
        0.

    Raises:
        ValueError: for text or a tokenizer that cannot be read, or options that do not go together.
    """
    options = parser(command, DESCRIPTION)
    add_text_arguments(options)
    options.add_argument("--tokenizer", type=str, required=True, help="tokenizer.json, or a folder with it")
    options.add_argument("--output", type=str, required=True, help="the folder to write")
    options.add_argument(
        "--end_of_document",
        type=bool,
        default=True,
        help="put the end-of-text token after each document; never with --sentences",
    )
    options.add_argument(
        "--block_length", type=int, default=1024, help="for the padding and truncation percentages of the manifest"
    )
    options.add_argument(
        "--sentences", type=bool, default=False, help="cut documents into sentences, as DocumentCorpus needs them"
    )
    options.add_argument(
        "--whole_words", type=str, choices=["none", "jieba"], default="none", help="keep where (Chinese) words begin"
    )
    chosen = parse(options, argv)

    from plmlight.data.cache import DocumentText, cache_root
    from plmlight.data.progress import progress_bar, text_size
    from plmlight.data.shards import is_shards, write_shards
    from plmlight.data.sources import resolve
    from plmlight.data.words import segmentation, word_starts
    from plmlight.text import load_tokenizer

    output = Path(chosen.output)
    if output.is_dir() and any(output.iterdir()) and not is_shards(output):
        raise ValueError(f"{output}: holds other files; name a new folder, or one that prepare wrote")
    if chosen.block_length < 2:
        raise ValueError(f"block_length {chosen.block_length} must be at least 2")
    sources = resolve(chosen.files)
    tokenizer = load_tokenizer(chosen.tokenizer)
    starts, name = word_starts(chosen.whole_words, cache_root() / "jieba"), segmentation(chosen.whole_words)
    text = DocumentText(sources, chosen.text_field, chosen.document, chosen.sentences)
    with progress_bar("Tokenising", text_size(sources)) as advance:
        shards = write_shards(
            text.pieces(),
            tokenizer,
            output,
            chosen.end_of_document and not chosen.sentences,
            chosen.block_length,
            advance,
            sentences=chosen.sentences,
            words=None if starts is None or name is None else (name, starts),
        )
    manifest, packing = shards.manifest, shards.manifest.packing or {}
    print(
        f"{output}: {manifest.tokens:,} tokens in {manifest.documents:,} documents from {manifest.bytes:,} bytes "
        f"({manifest.bytes / max(1, manifest.tokens):.2f} bytes a token, {manifest.unknown_percent:g} % unknown)"
        + (f", {manifest.sentences:,} sentences" if manifest.sentences is not None else "")
    )
    print(
        f"blocks of {chosen.block_length}: {packing['blocks']:,}, padding {packing['padding_percent']:g} %, "
        f"documents cut by a block's end {packing['truncated_percent']:g} %"
    )
    return 0
