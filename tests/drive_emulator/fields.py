"""The fields parameter: what an answer holds of a resource; what was not asked for is not there."""

from typing import Any, Final

Mask = dict[str, "Mask"]
# What files.get and files.create answer when nothing is asked for.
DEFAULT: Final = "kind,id,name,mimeType"


def parse(text: str) -> Mask:
    """Returns "a,b(c,d),e/f" as a tree."""
    mask: Mask = {}
    rest = text
    while rest:
        part, rest = _first(rest)
        name, _, inner = part.partition("(")
        path = name.strip().split("/")
        here = mask
        for step in path:
            here = here.setdefault(step, {})
        if inner:
            here.update(parse(inner.rstrip(")")))
    return mask


def apply(mask: Mask, value: Any) -> Any:
    """Returns the part of the value that the mask names."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [apply(mask, item) for item in value]
    return {name: apply(inner, value[name]) for name, inner in mask.items() if name in value}


def _first(text: str) -> tuple[str, str]:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            return text[:position], text[position + 1 :]
    return text, ""
