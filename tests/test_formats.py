"""The sentences that docs/formats.md quotes are those of the package."""

import ast
import re
from functools import cache

import pytest

from nuclei import ROOT

TOKEN = re.compile(r"\.\.\.|\{\}|\w+|[^\w\s]")


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
                found.append(TOKEN.findall("".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(TOKEN.findall(node.value))
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


def is_quoted(quote, least=0.25):
    """Whether a quote agrees with a text; parts of it may come from another text or a library."""
    words = TOKEN.findall(quote)
    close = (text for text in written() if len({*words} & {*text}) >= least * len({*words}))
    return any(agreement(words, text) >= least for text in close)


@pytest.mark.parametrize("quote", list(quoted()))
def test_a_quoted_sentence_is_one_of_the_package(quote):
    assert is_quoted(quote)


def test_another_word_is_noticed():
    quotes = list(quoted())
    assert len(quotes) > 40
    for quote in quotes:
        *_, last = re.finditer(r"[a-z]{3,}", quote)
        assert not is_quoted(f"{quote[: last.start()]}otherwise{quote[last.end() :]}", 0.8), quote
