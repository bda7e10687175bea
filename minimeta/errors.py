"""The one exception for input that cannot be used, and what sentences about errors are made of."""


class InputError(ValueError):
    """Input that minimeta cannot use: the message says what is wrong, what was expected and what to do."""


def some(names: "list[str] | tuple[str, ...]", limit: int = 6) -> str:
    """The first few names of a list, for a message that stays one line long."""
    shown = ", ".join(" ".join(name.split()) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def first_line(error: Exception, silent: str = "") -> str:
    """The first line of what an error says, without its full stop; of one that says nothing, `silent` or its type."""
    return (str(error).strip() or silent or type(error).__name__).splitlines()[0].rstrip(".")
