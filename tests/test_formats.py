"""The sentences that docs/formats.md quotes are those of the package."""

import ast
import re
from functools import cache

import pytest

from nuclei import ROOT

WORD = re.compile(r"\.\.\.|\{\}|\w+")


def quoted():
    """The sentences in docs/formats.md: what they leave out is an ellipsis."""
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for quote in re.findall(r"`([^`]+)`", " ".join(text.split())):
        if quote.count(" ") > 3 and (quote.startswith("... ") or quote.endswith(".")):
            yield quote


@cache
def written():
    """Words of all texts in the package; {} stands for what is filled in."""
    found = []
    for path in sorted((ROOT / "nuclei").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}"
                         for part in node.values]  # fmt: skip
                found.append(WORD.findall("".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(WORD.findall(node.value))
    return found


def agreement(quote, text):
    """The share of the words of a quote that are in a text, where "..." and "{}" are any words.

    It is 0 if the quote cannot be one of the text.
    """
    # The most equal words, if the quote up to a place is the text so far.
    best = {0: 0}
    for word in [*text, None]:
        for place, name in enumerate(quote):  # an ellipsis may stand for nothing
            if name == "..." and place in best:
                best[place + 1] = max(best[place], best.get(place + 1, 0))
        if word is None:
            continue
        after = {}
        for place, equal in best.items():
            name = quote[place] if place < len(quote) else None
            if word == "{}":
                steps = [(further, 0) for further in range(place, len(quote) + 1)]
            else:
                steps = [(place, 0)] * (name == "...") + [(place + 1, 1)] * (name == word)
            for further, more in steps:
                after[further] = max(equal + more, after.get(further, 0))
        best = after
    return best.get(len(quote), 0) / sum(word != "..." for word in quote)


def is_quoted(quote):
    """Whether a quote is of one text or of two: a sentence and what it is completed with."""
    ends = [place.start() for place in re.finditer("[:,] ", quote)]
    pairs = [(quote[:end], quote[end:]) for end in ends]
    return is_of_one(quote) or any(is_of_one(one) and is_of_one(other) for one, other in pairs)


def is_of_one(quote):
    words = WORD.findall(quote)
    close = (text for text in written() if len({*words} & {*text}) >= 0.4 * len({*words}))
    return any(agreement(words, text) >= 0.4 for text in close)


@pytest.mark.parametrize("quote", list(quoted()))
def test_a_quoted_sentence_is_one_of_the_package(quote):
    assert is_quoted(quote)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("get a fresh copy.", "get a new copy."),
        ("use PNG, TIFF or JPEG.", "use PNG or JPEG."),
        ("save the labels as PNG or TIFF", "store the labels as PNG or TIFF"),
        ("is wholly transparent", "is fully transparent"),
        ("check its permissions and its disk", "check its permissions"),
    ],
)
def test_another_word_is_noticed(right, wrong):
    changed = [quote.replace(right, wrong) for quote in quoted() if right in quote]
    assert changed and not any(map(is_quoted, changed))
