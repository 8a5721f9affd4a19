"""How an arm looks, in every figure the same: a colour, a marker, a dash and a pattern.

The colours are Okabe and Ito's, told apart under every common colour blindness; several arms share one. Marker, dash
and pattern say it again for a print in grey. Controls stay grey: they are the ground that results stand before.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from lab.evidence import LATENT, ORACLE
from lab.pictures.theme import INK

MUTED, LATENT_COLOUR = "#9AA0A6", "#D55E00"
OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00")
GREEN, PURPLE, ORANGE = OTHER_COLOURS
SKY, BLUE = "#56B4E9", "#0072B2"


@dataclass(frozen=True)
class Look:
    """`colour` of an arm; its plotly `symbol` as a marker, `dash` as a line and `pattern` as a bar."""

    colour: str
    symbol: str = "circle"
    dash: str = "solid"
    pattern: str = ""

    @property
    def marker(self) -> dict[str, str]:
        return {"color": self.colour, "symbol": self.symbol}

    @property
    def line(self) -> dict[str, str]:
        return {"color": self.colour, "dash": self.dash}


LOOKS = {
    "source": Look(SKY, "square", "dash", "/"),
    "target": Look(BLUE, "triangle-up", "longdash", "\\"),
    ORACLE: Look(INK, "diamond-open", "dot", "."),
    "token_budget": Look(ORANGE, "x", "dashdot", "x"),
    "token_budget_question": Look(ORANGE, "cross", "dashdot", "+"),
    "cascade": Look(PURPLE, "triangle-down", "longdashdot", "-"),
    "same_bytes": Look(PURPLE, "triangle-down-open", "longdashdot", "|"),
    "text_hint": Look(GREEN, "star", "dash", "|"),
    "text_tuned": Look(GREEN, "pentagon", "longdash", "+"),
    LATENT: Look(LATENT_COLOUR, "circle"),
    "latent_bf16": Look(LATENT_COLOUR, "circle-open"),
    "latent_int8": Look(LATENT_COLOUR, "hexagon-open", "dash"),
    "latent_int4": Look(LATENT_COLOUR, "square-open", "dot"),
    "latent_shuffled": Look(MUTED, "hourglass", "dash", "/"),
    "latent_zero": Look(MUTED, "square-x-open", "dot"),
    "latent_noise": Look(MUTED, "star-open", "dot"),
    "latent_mean": Look(MUTED, "diamond", "dot"),
    "latent_constant": Look(MUTED, "bowtie", "longdash", "x"),
    "latent_random_source": Look(MUTED, "triangle-left", "dashdot"),
    "latent_no_lore_source": Look(MUTED, "triangle-right", "dashdot"),
    "latent_target_source": Look(MUTED, "hexagon", "dashdot"),
}
# Of arms that nobody has named here, such as another tool's models.
OTHER_SYMBOLS = ("pentagon-open", "hexagon2", "octagon", "star-square", "star-diamond", "diamond-tall")
COLOURS = {arm: LOOKS[arm].colour for arm in ("source", "target", ORACLE, LATENT)}
ARM_LABELS = {
    "source": "Source alone",
    "target": "Target alone",
    ORACLE: "Either (oracle router)",
    "token_budget": "Prompt cut to K",
    "token_budget_question": "Question cut to K",
    "cascade": "Source's answer, text",
    "same_bytes": "The same, equal bytes",
    "text_hint": "Gold gloss as text",
    "text_tuned": "Text, tuned prompt",
    LATENT: "Latent",
    "latent_bf16": "Latent, bf16 wire",
    "latent_int8": "Latent, int8 wire",
    "latent_int4": "Latent, int4 wire",
    "latent_shuffled": "Latent, shuffled",
    "latent_zero": "Latent, zeros",
    "latent_noise": "Latent, noise",
    "latent_mean": "Latent, mean",
    "latent_constant": "Constant prompt",
    "latent_random_source": "Random source",
    "latent_no_lore_source": "Source without lore",
    "latent_target_source": "Target as source",
}


def arm_label(arm: str) -> str:
    return ARM_LABELS.get(arm) or arm.replace("_", " ").capitalize()


def is_control(arm: str) -> bool:
    return arm.startswith(f"{LATENT}_")


def look(arm: str) -> Look:
    """An arm's look. One that is not known has one by its name alone, so that it is the same in every figure."""
    if arm in LOOKS:
        return LOOKS[arm]
    place = int.from_bytes(sha256(arm.encode("utf-8", "replace")).digest()[:4], "big")
    symbol = OTHER_SYMBOLS[place % len(OTHER_SYMBOLS)]
    return Look(MUTED if is_control(arm) else OTHER_COLOURS[place // 7 % len(OTHER_COLOURS)], symbol, "dashdot")
