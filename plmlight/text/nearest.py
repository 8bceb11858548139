import difflib
from collections.abc import Iterable


def nearest(value: str, options: Iterable[str]) -> str:
    """A tail for an error message: the valid value that a wrong one most resembles, else all of them.

    Args:
        value: what was given.
        options: what would have been valid.

    Returns:
        ``"; did you mean 'x'?"`` or ``"; expected one of 'x', 'y'"``, or nothing where there are no options.
    """
    known = sorted(options)
    close = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; expected one of {', '.join(map(repr, known))}" if known else ""
