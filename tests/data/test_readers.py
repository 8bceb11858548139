import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from plmlight.data.readers import PIECE, Documents, DocumentUnit, read
from plmlight.data.sources import resolve

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}


def documents(path: Path, field: str = "text", document: DocumentUnit = "file") -> list[str]:
    found, held = [], ""
    for piece in read(resolve(str(path)), field, document):
        held += piece.text
        if piece.last:
            found.append(held)
            held = ""
    assert not held
    return found


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_plain_text_by_file_line_and_paragraph(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "one\ntwo\r\n\n \nthree\n")
    assert documents(path) == ["one\ntwo\r\n\n \nthree\n"]
    assert documents(path, document="line") == ["one", "two", "three"]
    assert documents(path, document="paragraph") == ["one\ntwo", "three"]


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_compressed_text_of_several_parts(tmp_path: Path, suffix: str) -> None:
    pack = PACK[suffix]
    path = written(tmp_path / f"a.txt.{suffix}", pack("first é\n".encode()) + pack(b"second\n" * 200_000))
    assert documents(path) == ["first é\n" + "second\n" * 200_000]


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_cut_off_compression_is_an_error(tmp_path: Path, suffix: str) -> None:
    pack = PACK[suffix]
    whole = pack(bytes(range(32, 120)) * 1000)
    path = written(tmp_path / f"a.txt.{suffix}", whole[:-9])
    with pytest.raises(ValueError, match=rf"a\.txt\.{suffix}: the compressed data is damaged or cut off"):
        documents(path)


def test_jsonl_csv_tsv_parquet(tmp_path: Path) -> None:
    texts = ['a, "b"\nc', "déjà"]
    jsonl = "".join(json.dumps({"n": 1, "body": text}) + "\n\n" for text in texts)
    assert documents(written(tmp_path / "a.jsonl", jsonl), "body") == texts
    assert documents(written(tmp_path / "a.csv", 'n,body\n1,"a, ""b""\nc"\n\n2,déjà\n'), "body") == texts
    assert documents(written(tmp_path / "a.tsv", "n\tbody\n1\tx y\n"), "body") == ["x y"]
    pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2], "body": texts}), tmp_path / "a.parquet")
    assert documents(tmp_path / "a.parquet", "body") == texts


def test_long_document_is_cut_between_words_and_loses_nothing(tmp_path: Path) -> None:
    text = "word  and é, word.\n\nnext" * 20_000
    pieces = list(read(resolve(str(written(tmp_path / "a.txt", text)))))
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(PIECE <= len(piece.text) < PIECE + 50 for piece in pieces[:-1])
    assert all(piece.text[0] == " " and piece.text[1] != " " for piece in pieces[1:])


def test_character_across_two_blocks_is_whole(tmp_path: Path) -> None:
    text = "x" + "é" * 2**20
    assert documents(written(tmp_path / "a.txt", text)) == [text]


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert documents(written(tmp_path / "a.txt", b"\xef\xbb\xbfabc")) == ["abc"]


def test_documents_can_be_gone_through_again_and_limited(tmp_path: Path) -> None:
    found = Documents(resolve(str(written(tmp_path / "a.txt", "aa\nbb\ncc"))), "text", "line", limit=3)
    assert [list(found), list(found)] == [["aa", "bb"]] * 2


@pytest.mark.parametrize("before", [0, 5, 2**20 - 1, 2**20, 3 * 2**20 + 7])
def test_undecodable_byte_is_named_with_its_offset(tmp_path: Path, before: int) -> None:
    path = written(tmp_path / "a.txt", b"a" * before + b"\xe9b")
    with pytest.raises(ValueError, match=rf"a\.txt: byte 0xe9 at offset {before} is not UTF-8"):
        documents(path)


def test_text_that_ends_inside_a_character(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="byte 0xc3 at offset 3 is not UTF-8"):
        documents(written(tmp_path / "a.txt", b"abc\xc3"))
    with pytest.raises(ValueError, match="byte 0xff at offset 2 of the unpacked text is not UTF-8"):
        documents(written(tmp_path / "a.txt.gz", gzip.compress(b"ab\xff")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n\n{"txt": "y"}\n', r"a\.jsonl:3: there is no field 'text'; did you mean 'txt'\?"),
        ("a.jsonl", '{"text": "x"}\n{"text": 3}\n', r"a\.jsonl:2: field 'text' is int, expected a string"),
        ("a.jsonl", '{"text": "x"\n', r"a\.jsonl:1: not a line of JSON"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1: expected an object with a field 'text', got \[1\]"),
        ("a.jsonl", '\n{"text": "a \\ud800 b"}\n', r"a\.jsonl:2: half a character .* in '.*a \\ud800 b"),
        ("a.csv", "n,texts\n1,x\n", r"a\.csv:1: there is no column 'text'; did you mean 'texts'\?"),
        ("a.csv", "n,text\n1,x\n2\n", r"a\.csv:3: has 1 columns, expected 2"),
        ("a.csv", 'n,text\n1,"x\n', r"a\.csv:2: not a row of CSV"),
        ("a.parquet", "no", r"a\.parquet: not a parquet file"),
        ("a.txt", "", r"a\.txt: the file has no text"),
        ("a.csv", "", r"a\.csv: the file has no text"),
        ("a.jsonl", "\n", r"a\.jsonl: the file has no text"),
    ],
)
def test_bad_content_names_file_and_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        documents(written(tmp_path / name, content))


def test_a_character_of_two_escapes_is_whole(tmp_path: Path) -> None:
    line = '{"text": "\\ud83d\\ude00 is no \\\\ud800"}\n'
    assert documents(written(tmp_path / "a.jsonl", line)) == ["\U0001f600 is no \\ud800"]


def test_empty_files_of_a_folder_are_passed_over_unless_all_are(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", "")
    with pytest.raises(ValueError, match=r"a\.txt and 0 more: no text in any of them"):
        documents(tmp_path)
    written(tmp_path / "b.txt", "text")
    assert documents(tmp_path) == ["text"]
