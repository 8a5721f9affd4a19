"""Byte-pair encoding once more, plainly, from the lists that a GGUF file holds: what a tokenizer is checked against."""

from functools import cache
from pathlib import Path

import regex
from gguf import GGUFReader

# How SmolLM2's text falls into words: digits alone, then as GPT-2 does it.
DIGIT = regex.compile(r"\p{N}")
WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
USER_DEFINED = 4  # a token's type: found in the text before anything is merged, the longest first
PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that GPT-2 writes as themselves
BYTES = {byte: chr(byte) for byte in PLAIN} | {
    byte: chr(256 + place) for place, byte in enumerate(byte for byte in range(256) if byte not in PLAIN)
}


@cache
def lists(path: Path) -> dict:
    """tokens -> id, and by what pairs are merged: the rank in a list of merges, or the score of what they make."""
    fields = {name.rpartition(".")[2]: field for name, field in GGUFReader(path).fields.items()}
    tokens = {token.replace(" ", "▁"): number for number, token in enumerate(fields["tokens"].contents())}
    if "merges" in fields:
        return {"tokens": tokens, "ranks": {merge: rank for rank, merge in enumerate(fields["merges"].contents())}}
    kinds = fields["token_type"].contents()
    given = sorted((token for token, number in tokens.items() if kinds[number] == USER_DEFINED), key=len, reverse=True)
    pattern = regex.compile("|".join(map(regex.escape, given)) or r"(?!)")
    return {"tokens": tokens, "scores": fields["scores"].contents(), "given": pattern}


def byte_level(path: Path, text: str) -> list[int]:
    """As GPT-2 and its kind: words, their bytes, and of the pairs in the list of merges the first one first."""
    found, words, place = lists(path), [], 0
    for digit in DIGIT.finditer(text):
        words += [*WORD.findall(text[place : digit.start()]), digit[0]]
        place = digit.end()
    words += WORD.findall(text[place:])
    ids = []
    for word in words:
        parts = merged([BYTES[byte] for byte in word.encode()], lambda a, b: found["ranks"].get(f"{a} {b}"))
        ids += [found["tokens"][part] for part in parts]
    return ids


def by_score(path: Path, text: str) -> list[int]:
    """As SentencePiece: of the pairs that make a token the one with the best score; what is no token, byte by byte."""
    found = lists(path)
    tokens, scores = found["tokens"], found["scores"]

    def cost(left: str, right: str) -> float | None:
        return -scores[tokens[left + right]] if left + right in tokens else None

    text, place, parts = text.replace(" ", "▁"), 0, []
    for given in found["given"].finditer(text):
        parts += [*merged(list(text[place : given.start()]), cost), given[0]]
        place = given.end()
    parts += merged(list(text[place:]), cost)
    return [
        number
        for part in parts
        for number in ([tokens[part]] if part in tokens else [tokens[f"<0x{byte:02X}>"] for byte in part.encode()])
    ]


def merged(parts: list[str], cost) -> list[str]:
    """`parts` with the cheapest pair joined, the leftmost of equals, until no pair has a cost."""
    while True:
        costs = [(value, place) for place in range(len(parts) - 1)
                 if (value := cost(parts[place], parts[place + 1])) is not None]  # fmt: skip
        if not costs:
            return parts
        _, place = min(costs)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
