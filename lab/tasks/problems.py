"""A seeded generator of word problems in GSM8K's format: one to five steps, one person's pile after another.

A problem is a chain. It starts with a number of items (or some containers of them) and every step changes the pile,
turns to another person, or sells it. The answer writes each step as GSM8K does, `3*12=<<3*12=36>>36`, and closes
with `#### 36`. Given the problem, the answer is a function of it: only the questions are paraphrased.
"""

import random
from dataclasses import dataclass

from lab.tasks.draws import between, one_of, some_of
from lab.tasks.lore import Container

PEOPLE = (
    "Ana",
    "Ben",
    "Cleo",
    "Dan",
    "Eva",
    "Finn",
    "Gus",
    "Hana",
    "Ivo",
    "Jade",
    "Kai",
    "Lena",
    "Milo",
    "Nora",
    "Omar",
    "Pia",
)
ITEMS = (
    "plums",
    "beads",
    "coins",
    "eggs",
    "figs",
    "gems",
    "keys",
    "limes",
    "nuts",
    "pens",
    "rings",
    "shells",
    "stamps",
    "tiles",
    "buns",
    "cards",
)
LARGEST = 199  # no number of the world is larger
HELD_OUT_KINDS = ("lore", "add", "ask", "distract")  # of these, the last paraphrase is never in translator training

TEMPLATES = {
    "start": (
        "{p} has {a} {item}.",
        "{p} starts with {a} {item}.",
        "There are {a} {item} in {p}'s room.",
        "{p} owns {a} {item}.",
    ),
    "bags": (
        "{p} buys {n} bags with {a} {item} in each.",
        "{p} has {n} boxes of {a} {item} each.",
        "{p} fills {n} rows with {a} {item} per row.",
        "{p} finds {n} jars that hold {a} {item} each.",
    ),
    "lore": (
        "{p} has {n} {c} of {item}.",
        "{p} buys {n} {c} full of {item}.",
        "{p} finds {n} {c} with {item} inside.",
        "{p} carries {n} {c} of {item} home.",
    ),
    "more_lore": (
        "{p} then gets {n} {c} of {item}.",
        "{p} adds {n} {c} full of {item}.",
        "Then {n} {c} of {item} arrive for {p}.",
    ),
    "add": (
        "{p} gets {k} more.",
        "{p} buys {k} more {item}.",
        "A friend gives {p} {k} {item}.",
        "Then {p} picks up another {k}.",
    ),
    "sub": (
        "{p} loses {k} of them.",
        "{p} gives {k} {item} to {q}.",
        "{p} sells {k} {item}.",
        "Then {k} of them break.",
    ),
    "mul": (
        "Then {p}'s pile grows to {k} times its size.",
        "{p} works until there are {k} times as many.",
        "A wizard makes {k} of each of {p}'s {item}.",
    ),
    "div": (
        "{p} splits them evenly into {k} heaps and keeps one heap.",
        "{p} shares them equally among {k} people and takes one share.",
        "{p} keeps only one of {k} equal parts.",
    ),
    "more_than": (
        "{q} has {k} more {item} than {p}.",
        "{q} owns {k} {item} more than {p} does.",
        "Compared with {p}, {q} has {k} extra {item}.",
    ),
    "fewer_than": (
        "{q} has {k} fewer {item} than {p}.",
        "{q} owns {k} {item} less than {p} does.",
        "Compared with {p}, {q} lacks {k} {item}.",
    ),
    "times": (
        "{q} has {k} times as many {item} as {p}.",
        "{q} owns {k} times what {p} has.",
        "For each of {p}'s {item}, {q} has {k}.",
    ),
    "price": (
        "{p} sells each one for {k} dollars.",
        "Every piece brings {p} {k} dollars.",
        "The price is {k} dollars for each.",
    ),
    "distract": (
        "{r} has {x} {other}.",
        "{r} is {x} years old.",
        "The shop is {x} miles away.",
        "It takes {r} {x} minutes to get there.",
    ),
    "ask": (
        "How many {item} does {p} have?",
        "How many {item} does {p} have now?",
        "What is the number of {item} that {p} has?",
        "Count the {item} of {p}. How many?",
    ),
    "ask_together": (
        "How many {item} do {p} and {q} have together?",
        "How many {item} is that for {p} and {q} in total?",
        "What do {p} and {q} have in all, in {item}?",
    ),
    "ask_money": (
        "How many dollars does {p} make?",
        "How much money does {p} get, in dollars?",
        "What does {p} earn in dollars?",
    ),
}
SEEN_TEMPLATES = {kind: told[:-1] if kind in HELD_OUT_KINDS else told for kind, told in TEMPLATES.items()}
LINES = {
    "start": "There are",
    "add": "Now there are",
    "sub": "That leaves",
    "mul": "That makes",
    "div": "Each part is",
    "together": "In all",
    "price": "The money is",
}


@dataclass(frozen=True)
class Problem:
    """One word problem. `sentences` hold `{c}` where the container stands, so that a gloss can be put in."""

    sentences: tuple[str, ...]
    lines: tuple[str, ...]
    result: int
    container: Container | None

    def question(self, gloss: str = "") -> str:
        """The question's text; `gloss` follows the container word where it first stands, for example ` (12 each)`."""
        text = " ".join(self.sentences)
        if self.container is None:
            return text
        word = self.container.word + "s"
        return text.replace("{c}", word + gloss, 1).replace("{c}", word)

    @property
    def answer(self) -> str:
        return "\n".join(self.lines) + f"\n#### {self.result}"

    @property
    def steps(self) -> int:
        return len(self.lines)


class _Chain:
    """The problem while it is being told: who holds the pile, its size, and what sentences and lines are to say.

    They are put into words at the end, since two problems in five turn out to be unsound.
    """

    def __init__(self, rng: random.Random, container: Container | None, held_out_templates: bool):
        self.rng, self.container = rng, container
        self.templates = TEMPLATES if held_out_templates else SEEN_TEMPLATES
        self.people = some_of(rng, PEOPLE, 4)
        self.item, self.other = some_of(rng, ITEMS, 2)
        self.person, self.previous = self.people.pop(), None
        self.told: list[tuple[str, str, str, dict[str, int]]] = []  # template, person, another one, numbers
        self.steps: list[tuple[str, int, str, int]] = []  # line, left number, sign, right number
        self.values, self.numbers = [], []
        self.value = self.previous_value = 0

    def paraphrase(self, kind: str) -> str:
        return one_of(self.rng, self.templates[kind])

    def tell(self, kind: str, **numbers: int) -> None:
        self.told.append((self.paraphrase(kind), self.person, self.people[-1], numbers))
        self.numbers += numbers.values()

    def step(self, line: str, left: int, sign: str, right: int, value: int) -> None:
        self.steps.append((line, left, sign, right))
        self.values.append(value)
        self.value = value

    def begin(self, with_container: bool) -> None:
        n = between(self.rng, 2, 9)
        if with_container:
            self.tell("lore", n=n)
            self.step("start", n, "*", self.container.capacity, n * self.container.capacity)
        elif self.rng.random() < 0.5:
            self.value = between(self.rng, 5, 90)
            self.tell("start", a=self.value)
        else:
            each = between(self.rng, 3, 20)
            self.tell("bags", n=n, a=each)
            self.step("start", n, "*", each, n * each)

    def more_containers(self) -> None:
        n, before = between(self.rng, 2, 6), self.value
        self.tell("more_lore", n=n)
        self.step("start", n, "*", self.container.capacity, n * self.container.capacity)
        self.step("add", before, "+", self.value, before + self.value)

    def change(self, kind: str) -> None:
        rng, value = self.rng, self.value
        if kind in ("add", "more_than"):
            k = between(rng, 2, 40)
            line, sign, result = "add", "+", value + k
        elif kind in ("sub", "fewer_than"):
            k = between(rng, 2, max(2, min(40, value - 2)))
            line, sign, result = "sub", "-", value - k
        elif kind in ("mul", "times", "price"):
            k = between(rng, 2, 5)
            line, sign, result = ("price" if kind == "price" else "mul"), "*", value * k
        else:
            k = one_of(rng, [d for d in range(2, 7) if value % d == 0] or [0])
            line, sign, result = "div", "/", value // k if k else 0
        self.tell(kind, k=k)
        if kind in WITH_ANOTHER:
            self.previous, self.previous_value = self.person, value
            self.person = self.people.pop()
        self.step(line, value, sign, k, result)

    def close(self, together: bool, money: bool) -> None:
        if together:
            self.told.append((self.paraphrase("ask_together"), self.previous, self.person, {}))
            self.step("together", self.previous_value, "+", self.value, self.previous_value + self.value)
        else:
            self.tell("ask_money" if money else "ask")

    def distract(self) -> None:
        ending = self.told.pop()
        self.tell("distract", x=between(self.rng, 2, 60))
        sentence = self.told.pop()
        self.told.insert(between(self.rng, 1, len(self.told)), sentence)
        self.told.append(ending)

    def sound(self) -> bool:
        """Every value in range, and the result found nowhere earlier: neither copying nor stopping early can hit it."""
        if min(self.values) < 2 or max(self.values) > LARGEST:
            return False
        *earlier, result = self.values
        known = self.container is not None and result == self.container.capacity
        return not known and result not in earlier and result not in self.numbers

    def problem(self) -> Problem:
        """The problem put into words."""
        sentences, lines = [], []
        fill = {"r": self.people[0], "item": self.item, "other": self.other, "c": "{c}"}
        for template, person, another, numbers in self.told:
            sentences.append(template.format_map({**fill, **numbers, "p": person, "q": another}))
        for (line, left, sign, right), value in zip(self.steps, self.values, strict=True):
            sum_, unit = f"{left}{sign}{right}", "dollars" if line == "price" else self.item
            lines.append(f"{LINES[line]} {sum_}=<<{sum_}={value}>>{value} {unit}.")
        return Problem(tuple(sentences), tuple(lines), self.values[-1], self.container)


KINDS = ("add", "add", "sub", "sub", "mul", "div", "div", "more_than", "fewer_than", "times")
WITH_ANOTHER = ("more_than", "fewer_than", "times")  # kinds that turn to another person
ALONE = tuple(kind for kind in KINDS if kind not in WITH_ANOTHER)


def _attempt(rng: random.Random, steps: int, container: Container | None, held_out_templates: bool) -> _Chain:
    chain = _Chain(rng, container, held_out_templates)
    later = container is not None and steps >= 3 and rng.random() < 0.3
    chain.begin(with_container=container is not None and not later)
    if later:
        while len(chain.steps) < steps - 2 and rng.random() < 0.5:
            chain.change(one_of(rng, ("add", "sub", "mul", "div")))
        chain.more_containers()
    money = rng.random() < 0.15
    while len(chain.steps) < steps:
        left = steps - len(chain.steps)
        if left == 1 and chain.previous and not money and rng.random() < 0.6:
            break  # the last step adds the two people up
        if left == 1 and money:
            chain.change("price")
        else:
            chain.change(one_of(rng, KINDS if len(chain.people) > 2 else ALONE))
    together = len(chain.steps) < steps
    chain.close(together, money and not together and chain.steps[-1][0] == "price")
    if rng.random() < 0.35:
        chain.distract()
    return chain


def make_problem(
    rng: random.Random, steps: int, container: Container | None = None, held_out_templates: bool = True
) -> Problem:
    """A problem of exactly `steps` steps (1 to 5), about `container` if one is given.

    The same `rng` state gives the same problem. Without `held_out_templates` the last paraphrase of each of
    `HELD_OUT_KINDS` is not used.
    """
    while True:
        chain = _attempt(rng, steps, container, held_out_templates)
        if len(chain.steps) == steps and chain.sound():
            return chain.problem()
