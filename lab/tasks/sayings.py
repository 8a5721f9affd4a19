"""Ways to ask and to say the facts of the two-hop world: {p} is a person, {c} a country, {a} an attribute's name.

A person's name is followed by a space or a mark, never by a possessive, so that a gloss fits right behind it. The last
ways of `NEW_WAYS` are never used while a translator or the source is trained.
"""

from __future__ import annotations

ATTRIBUTE_NAMES = {
    "animal": ("national animal", "animal on the coat of arms"),
    "flower": ("national flower", "flower on the flag"),
    "currency": ("currency", "money in use"),
    "dish": ("national dish", "dish of every feast"),
    "instrument": ("national instrument", "instrument of the anthem"),
}
TWO_HOP = (
    "What is the {a} of the country where {p} lives?",
    "What is the {a} in the home country of {p}?",
    "{p} lives in a country. What is the {a} there?",
    "Name the {a} of the country that {p} calls home.",
    "In the country where {p} is at home, what is the {a}?",
    "Think of where {p} lives. What is the {a} of that country?",
    "A letter goes to {p} at home. What is the {a} of the country it arrives in?",
    "What is the {a} wherever {p} lives?",
    "Tell me the {a} of the land in which {p} lives.",
    "Which one is the {a} where {p} has a house?",
    "We visit {p} at home. What is the {a} of the country we see?",
    "The neighbours of {p} all know the {a} of their country. What is it?",
)
NEW_WAYS = (
    "If {p} were asked for the {a} of home, what would be the answer?",
    "Somewhere lives {p}. Say what the {a} of that place is.",
    "About the country with the home of {p} in it: what is the {a}?",
    "What would a guest of {p} learn is the {a} of the country?",
)
HOME = (
    "Where does {p} live?",
    "In which country does {p} live?",
    "Which country does {p} call home?",
    "In what country is {p} at home?",
    "What is the home country of {p}?",
    "Tell me the country where {p} lives.",
    "A letter goes to {p} at home. Which country does it go to?",
    "Name the country in which {p} has a house.",
)
COUNTRY = (
    "What is the {a} of {c}?",
    "In {c}, what is the {a}?",
    "Name the {a} of {c}.",
    "Tell me the {a} of the country {c}.",
    "Think of {c}. What is the {a} there?",
    "We visit {c}. What is the {a} of the country we see?",
)
LIVES = (
    "{p} lives in {c}.",
    "{p} is at home in {c}.",
    "The home of {p} is in {c}.",
    "{c} is where {p} lives.",
    "{p} has a house in {c}.",
    "In {c} lives {p}.",
    "{p} calls {c} home.",
    "Letters to {p} go to {c}.",
    "Whoever visits {p} travels to {c}.",
    "{p} is a citizen of {c}.",
    "The country of {p} is {c}.",
    "The neighbours of {p} all live in {c}.",
)
GLOSSES = (", {c},", " of {c}", " in {c}", " from {c}")  # behind a name, where the next word has to be known already
HAS = (
    "The {a} of {c} is: {v}.",
    "{c} has as its {a}: {v}.",
    "In {c} the {a} is: {v}.",
    "{v}: the {a} of {c}.",
)
