"""Tables that are computed from the records in runs/preserved, so that no number in them was typed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from lab.errors import LabError
from lab.evidence import SUPPORTED, known_config, read_evidence, read_settings, recipe_rows
from lab.evidence.crossed import paired_difference, proportion
from lab.evidence.read import Run, rows_of
from lab.paper.findings import Findings
from lab.paper.reading import Preserved, World, run_folders
from lab.paper.worlds import WORLDS
from lab.pictures import people_rows
from lab.places import ROOT
from lab.tasks.twohop import clusters_of

PRESERVED = ROOT / "runs" / "preserved"
CARD = ROOT / "benchmarks" / "real_world.json"  # of the models of the two-hop world
NAMES = {
    "gsm8k": "32 soft tokens of four source layers", "gsm8k_k16": "16 soft tokens",
    "gsm8k_beside_text": "32, beside the question's text", "gsm8k_k8": "8 soft tokens", "gsm8k_k64": "64 soft tokens",
    "gsm8k_k128": "128 soft tokens",
    "gsm8k_layers_last": "32, of the last source layer", "gsm8k_layers_all": "32, of all source layers",
    "gsm8k_kl": "32, with KL", "gsm8k_kl_and_prompt": "32, with KL and prompt alignment",
    "gsm8k_decode": "32, with a decode-aware term", "gsm8k_adapter": "16, added to the question's text",
    "gsm8k_fixes": "32, with a contrastive term",
    "gsm8k_fixes_long": "the same, twice the steps, dropout", "gsm8k_fixes_k16": "16, with a contrastive term",
    "gsm8k_fixes_k128": "128, with a contrastive term",
    "gsm8k_half": "32, half of the training questions", "gsm8k_quarter": "32, a quarter of them",
    "gsm8k_target_source": "32, of the target's own states",
    "gsm8k_random_source": "32, of a source of random weights",
}  # fmt: skip
MAIN = ("gsm8k", "gsm8k_k16", "gsm8k_beside_text")  # three seeds, and prompts of their own
ENDS = ("latent_constant", "text_tuned")  # of the scale on which information is recovered
READS = {"latent": "the question's", "latent_shuffled": "another question's", "latent_constant": "a constant prompt",
         "text_tuned": "a prompt beside the text", "target": "the text alone"}  # fmt: skip
CONTROLS = {"latent_constant": "a constant prompt", "latent_random_source": "source of random weights",
            "latent_target_source": "the target as source",
            "latent_no_lore_source": "source without the facts"}  # fmt: skip
HELD_OUT, KNOWN = "lore/long/held_out", "lore/long/seen"
CELLS = {
    HELD_OUT: "held-out people, all",
    "lore/long/held_out/known_way": "asked in a way that was trained on",
    "lore/long/held_out/new_way": "asked in another way",
    "lore/long/held_out/new_fact": "about a fact kept from the translator",
    KNOWN: "people it was trained on, another attribute",
    "lore/short/held_out": "where held-out people live",
    "plain/short": "what a country has",
}


def preserved() -> Preserved:
    """What is preserved."""
    return findings().preserved


def findings() -> Findings:
    """What it says, read once as long as no file of it changes."""
    files = [path.stat() for path in PRESERVED.rglob("*")]
    return _findings(PRESERVED, len(files), max(file.st_mtime_ns for file in files))


@lru_cache(maxsize=1)
def _findings(folder: Path, _files: int, _newest: int) -> Findings:
    return Findings(Preserved(folder))


def folders_of(world: str) -> set[str]:
    """The preserved folders that hold runs of a world of the paper or controls of it: what is of another task or pair
    is in none."""
    declared, paths = WORLDS[world], list(run_folders(PRESERVED))
    configs = [known_config(read_settings(path)) for path in paths]
    of = [path for path, config in zip(paths, configs, strict=True)
          if declared.holds(config) or declared.control_of(config)]  # fmt: skip
    return {path.relative_to(PRESERVED).parts[0] for path in of}


def dots(values: Sequence[float], digits: int) -> str:
    """One number for each seed."""
    return " · ".join(f"{value:.{digits}f}" for value in values)


def between(found: dict, digits: int, times: float = 1.0) -> str:
    """An interval; nothing where there is none."""
    low, high = found["low"], found["high"]
    return "" if low is None or high is None else f" [{times * low:.{digits}f}, {times * high:.{digits}f}]"


def spaced(number: float) -> str:
    """A whole number, its thousands apart."""
    return f"{number:,.0f}".replace(",", " ")


def gsm8k() -> tuple[list[str], list[list[str]]]:
    """Nats per token of the gold solution for what stands in the soft tokens' place, and what was recovered."""
    if stray := folders_of("gsm8k") ^ set(NAMES):
        raise LabError(
            f"{', '.join(sorted(stray))} is preserved and has no name in this table, or the other way round."
        )
    return _recipes(tuple(NAMES))


def gsm8k_main() -> tuple[list[str], list[list[str]]]:
    """Its first rows, which have seeds and prompts of their own."""
    return _recipes(MAIN)


def _recipes(names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    folders = {name: list(run_folders(PRESERVED / name)) for name in names}
    evidence = read_evidence([path for paths in folders.values() for path in paths])
    rows = recipe_rows(evidence)
    on_a_scale = recipe_rows(replace(evidence, runs=tuple(_with_ends(run, evidence.runs) for run in evidence.runs)))
    columns = ["soft tokens", *READS.values(), "recovered, %", "minus the first row", "right, %"]
    return columns, [
        _recipe(NAMES[name], row, scaled["information"]["recovered"]["latent"])
        for name, row, scaled in zip(folders, rows, on_a_scale, strict=True)
    ]


def _with_ends(run: Run, runs: Sequence[Run]) -> Run:
    """The same run beside the two prompts that another one trained: of the same seed, as many soft tokens at the same
    place, as many steps. As it is where it has its own, or there is none."""
    own = _prompts(run)
    ends = next((one for one in runs if _prompts(one) == own and {*ENDS} <= {*one.arms}), None)
    if ends is None or {*ENDS} & {*run.arms}:
        return run
    theirs = {row["id"]: {arm: row["arms"][arm] for arm in ENDS} for row in ends.records}
    return replace(run, records=[row | {"arms": row["arms"] | theirs[row["id"]]} for row in run.records])


def _prompts(run: Run) -> tuple:
    """What decides how the prompts of a run are trained, and where they stand."""
    names = ("soft_tokens", "layout", "injection", "steps", "batch_size")
    return run.about()["models"]["target"], run.seed, *(run.settings[name] for name in names)


def _recipe(name: str, row: dict, share: dict | None) -> list[str]:
    arms, less = row["information"]["arms"], row["told"]
    cells = [dots(arms[arm]["per_seed"], 3) if arm in arms else "" for arm in READS]
    told = f"{100 * share['value']:.0f}{between(share, 0, 100)}" if share else ""
    more = {"low": -less["high"], "high": -less["low"]} if less and less["low"] is not None else None
    apart = f"{-less['effect']:+.3f}{between(more, 3) if more else ''}" if less else ""
    return [name, *cells, told, apart, dots([100 * one for one in row["accuracy"]["per_seed"]], 1)]


def two_hops() -> tuple[list[str], list[list[str]]]:
    """Per cent right by kind of question, each seed; the difference to another question's soft tokens in points."""
    world = two_hop_world()
    guess = json.loads(CARD.read_text("utf-8"))["measured"]["best constant guess"]
    columns = ["questions", "n", "best constant guess", "source", "target", "latent", "another question's soft tokens",
               "latent minus these", *CONTROLS.values(), "latent minus the constant prompt"]  # fmt: skip
    return columns, [[name, *_cell(world, cell, guess[cell])] for cell, name in CELLS.items()]


def two_hop_world() -> World:
    return preserved().worlds["twohop"]


def _cell(world: World, cell: str, guess: float) -> list[str]:
    rows = rows_of(world.main, (cell,))
    clusters = clusters_of(cell, rows.records)
    values = {arm: rows.values(world.main, arm) for arm in ("source", "target", "latent", "latent_shuffled")}
    right = {arm: _per_seed(each, clusters) for arm, each in values.items()}
    alone = [f"{right[arm][0]:.1f}" for arm in ("source", "target")]
    theirs = {arm: rows.values(world.controls[arm], "latent") for arm in CONTROLS}
    pairs = of_same_seeds(world.main, world.controls["latent_constant"])
    same = [rows.values(runs, "latent") for runs in pairs]
    return [str(len(rows.records)), f"{100 * guess:.1f}", *alone, dots(right["latent"], 1),
            dots(right["latent_shuffled"], 1), apart(values["latent"], values["latent_shuffled"], clusters),
            *(dots(_per_seed(each, clusters), 1) for each in theirs.values()),
            apart(*same, clusters)]  # fmt: skip


def of_same_seeds(ours: Sequence[Run], theirs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of either whose seed the other has, too."""
    seeds = sorted({run.seed for run in ours} & {run.seed for run in theirs})
    return tuple([next(run for run in runs if run.seed == seed) for seed in seeds] for runs in (ours, theirs))


def _per_seed(values: Sequence, clusters: Sequence) -> list[float]:
    return [100 * one for one in proportion(values, clusters)["per_seed"]]


def apart(ours: Sequence, theirs: Sequence, clusters: Sequence) -> str:
    """The one minus the other in points, with its interval."""
    found = paired_difference(ours, theirs, clusters)
    return f"{100 * found['difference']:+.1f}{between(found, 1, 100)}"


def gsm8k_numbers() -> dict[str, object]:
    """For the sentence above the table: the main recipe's questions and training, and how the claims stand."""
    world = preserved().worlds["gsm8k"]
    verdicts = [row["verdict"] for row in world.judged("likelihood")["claims"]]
    return _of(world.main) | {"declared": len(verdicts), "supported": verdicts.count(SUPPORTED)}


def two_hops_numbers() -> dict[str, object]:
    """The same of two hops, and what the target has right with the home as text."""
    told = json.loads(CARD.read_text("utf-8"))["measured"]["target with the home as text"]["lore/long/held_out"]
    world = two_hop_world()
    longer = [run for evidence in (world.evidence, *world.rebuilt) for run in evidence.runs
              if is_longer(run, world.main[0])]  # fmt: skip
    rows = rows_of(longer, ("lore/long/held_out",))
    clusters = clusters_of("lore/long/held_out", rows.records)
    more = {f"longer_{arm}": dots(_per_seed(rows.values(longer, arm), clusters), 1)
            for arm in ("latent", "latent_shuffled")}  # fmt: skip
    return _of(world.main) | more | {
        "with_home": f"{100 * told:.1f}", "no_facts_seeds": len(world.controls["latent_no_lore_source"]),
        "longer_steps": f"{longer[0].settings['steps']:,}".replace(",", " "), "longer_seeds": len(longer),
    }  # fmt: skip


def people() -> dict[str, str]:
    """Held-out people of two hops over the number of people that a translator was trained on, between the models of
    the table and between another build of them."""
    lines = {"asked": ("latent", HELD_OUT), "other": ("latent_shuffled", HELD_OUT), "known": ("latent", KNOWN)}
    world = two_hop_world()
    own, *others = [people_rows(build) for build in world.over("people") if build.runs]
    found = {name: [row for row in own if (row["arm"], row["group"]) == line] for name, line in lines.items()}
    again = [row for row in max(others, key=len) if (row["arm"], row["group"]) == lines["asked"]]
    told, same = ("; ".join(f"{row['people']:,}: {_dots_of(row)}".replace(",", " ") for row in some)
                  for some in (found["asked"], again))  # fmt: skip
    other = [100 * one for row in found["other"] for one in row["per_seed"]]
    known = [_dots_of(found["known"][place]) for place in (0, -1)]
    return {
        "what": "two hops over the number of people that the translator was trained on, right on held-out people, %, "
                "by seed; between the models of the table of two hops",
        "found": f"{told}. Another person's soft tokens {min(other):.1f} to {max(other):.1f}, whatever the number. "
                 f"About the people it was trained on, by an attribute that it was not asked of them, {known[0]} with "
                 f"the fewest and {known[1]} with all. Between another build of the models, on an H200: {same}",
        "n": f"{found['asked'][0]['n']:,}".replace(",", " "),
    }  # fmt: skip


def _dots_of(row: dict) -> str:
    return dots([100 * one for one in row["per_seed"]], 1)


def moved_homes() -> dict[str, str]:
    """Held-out people who were given another home in the source alone."""
    found = json.loads((PRESERVED / "twohop_evidence" / "evidence.json").read_text("utf-8"))
    edited, other = (found["counterfactual"]["counts"][name] for name in ("edited words", "other words"))
    before, after = "source before: answers of the world", "source after: answers of the world"
    probes = [row for row in found["probe"] if row["quantity"] == "home"]
    best = max((row for row in probes if row["position"] == "word"), key=lambda row: row["accuracy"])
    last = max(row["accuracy"] for row in probes if row["position"] == "last")
    return {
        "what": "two hops, held-out people given another home in the source alone, the first seed's translator",
        "found": f"{edited[f'{after} after']} of {edited['n']} answers follow them (before "
                 f"{edited[f'{before} after']}); of {other['n']} about other people {other[f'{after} before']} are "
                 f"right (before {other[f'{before} before']}). A linear probe reads homes off the source's states at "
                 f"the name in {100 * best['accuracy']:.0f} % of {best['n']} questions (layer {best['layer']}, the "
                 f"best of {len(probes)} probes; constant {100 * best['constant']:.0f}), at the last token in "
                 f"{100 * last:.0f} %",
        "n": str(edited["n"] + other["n"]),
    }  # fmt: skip


def is_longer(run: Run, main: Run) -> bool:
    """Whether a run is of the main recipe but for the length of its training."""
    length = ("steps", "warmup_steps", "eval_every")
    return run.recipe(length) == main.recipe(length) and run.settings["steps"] > main.settings["steps"]


def _of(runs: Sequence[Run]) -> dict[str, object]:
    settings = {name: spaced(runs[0].settings[name]) for name in ("soft_tokens", "steps", "batch_size")}
    return settings | {"n": spaced(len(runs[0].records)), "seeds": len(runs)}


FINDINGS = {"people": people, "moved_homes": moved_homes}
TABLES = {"gsm8k": gsm8k, "gsm8k_main": gsm8k_main, "two_hops": two_hops}
NUMBERS = {"gsm8k": gsm8k_numbers, "gsm8k_main": gsm8k_numbers, "two_hops": two_hops_numbers}
