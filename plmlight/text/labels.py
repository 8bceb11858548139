from typing import Any

ClassName = str | int | float | bool
"""How a class may be called in files and settings."""


def label_name(value: Any) -> str:
    """The name of a class, which may be a number or true and false in a file or a setting.

    Args:
        value: what stands there.

    Returns:
        Its name; empty for what is none.
    """
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
