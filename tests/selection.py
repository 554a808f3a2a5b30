"""The parameters of the selected tests, for what is started ahead of the tests that need it."""

from collections.abc import Iterable, Mapping


def parameters(item: object) -> Mapping[str, object]:
    """Return the parameters of a collected test, by name; none where it has none."""
    return getattr(getattr(item, "callspec", None), "params", {})


def values(items: Iterable[object], name: str) -> list[object]:
    """Return the values of one parameter in collected tests, each once, in their order."""
    return list(dict.fromkeys(parameters(item)[name] for item in items if name in parameters(item)))
