"""``selftest``: whether a bundle is still what was proven, and still answers as it did."""

from __future__ import annotations

from plmlight.cli.arguments import add_running_arguments, parse, parser


def main(command: str, argv: list[str]) -> int:
    """Checks a bundle's bytes, and replays its golden requests.

    Args:
        command: the command's name.
        argv: the words after it.

    Returns:
        0 when all is as it was, 1 when a byte or an answer differs.

    Raises:
        ValueError: when this is no bundle, or the provider is not obtained.
    """
    arguments = parser(
        command,
        "Compare a bundle's bytes with its verdict and replay its golden requests; exit status 1 when any differ.",
    )
    arguments.add_argument("bundle", type=str, help="the folder that export wrote")
    add_running_arguments(arguments)
    values = parse(arguments, argv)

    from plmlight import runtime

    bundle = runtime.read_bundle(values.bundle)
    try:
        runtime.verify(bundle)
    except ValueError as error:
        print(f"bytes     FAILED  {error}")
        return 1
    print(f"bytes     ok      {values.bundle}")
    model = runtime.open_bundle(values.bundle, values.provider, values.threads, values.graph)
    failures = 0
    for number, result in enumerate(runtime.replay(model), 1):
        failures += bool(result.difference)
        shown = f"{result.prompt[:40]!r}" + (f": {result.difference}" if result.difference else "")
        print(f"golden {number:<3}{'FAILED' if result.difference else 'ok    '}  {shown}")
    print(f"{'FAILED' if failures else 'passed'} on {model.provider}, graph {model.graph}")
    return 1 if failures else 0
