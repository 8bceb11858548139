"""The command line: a front end that imports nothing heavy, and one module a command."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module under plmlight.cli, one line of help)
    "fit": ("training", "train a task on a corpus: --config recipe.yaml"),
    "validate": ("training", "run the validation set through a checkpoint"),
    "test": ("training", "run the test set through a checkpoint"),
    "predict": ("training", "write predictions for the predict set"),
    "tokenizer": ("tokenizer", "train a tokenizer from text"),
    "prepare": ("prepare", "turn text into tokenised shards"),
    "convert": ("convert", "Hugging Face folder, ARPA file or word vectors to checkpoint, and back"),
    "export": ("export", "checkpoint to a proven ONNX bundle"),
    "infer": ("infer", "run a bundle, checkpoint or Hugging Face folder on text"),
    "evaluate": ("evaluate", "score any model on data, with intervals: perplexity, tasks, similarity, retrieval"),
    "selftest": ("selftest", "check a bundle's bytes and replay its golden requests"),
    "doctor": ("doctor", "what would really run here: providers, threads, versions"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after the program's name; the process's own by default.

    Returns:
        The exit status: 0 done, 1 a check failed, 2 bad input, 130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else 2
    if argv[0] == "--version":
        from plmlight import __version__

        print(f"plmlight {__version__}")
        return 0
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    command, *rest = argv
    if command not in COMMANDS:
        from plmlight.text.nearest import nearest

        complain(f"plmlight: there is no command {command!r}{nearest(command, COMMANDS)}")
        return 2
    module = importlib.import_module(f"plmlight.cli.{COMMANDS[command][0]}")
    try:
        status: int = module.main(command, rest)
    except KeyboardInterrupt:
        complain(f"plmlight {command}: interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say
        return 0
    except Exception as error:
        if debug or not _is_users(error):
            raise
        complain(f"plmlight {command}: {_one_line(error)}")
        return 2
    return status


def complain(line: str) -> None:
    """Prints a line on stderr, at once with its end: where all ranks of a run fail, their lines do not mix.

    Args:
        line: without its end.
    """
    sys.stderr.write(f"{line}\n")


def _is_users(error: Exception) -> bool:
    """Whether an error speaks to the user: the system's about a file, or a ValueError that our own code raised."""
    if isinstance(error, OSError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return isinstance(error, ValueError) and bool(frames) and frames[-1].filename.startswith(ours)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        named = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{named}: {error.strerror}" if named else error.strerror
    return " ".join(str(error).split())


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: python -m plmlight COMMAND [--help] [...]",
            "",
            "Language models from raw text to a proven ONNX endpoint.",
            "",
            *lines,
            "",
            "COMMAND --help explains a command; --debug shows the traceback of an error; --version the version.",
        ]
    )
