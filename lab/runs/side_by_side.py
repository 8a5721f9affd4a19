"""Files of other tools put side by side: one record per question, one arm per model and scoring rule."""

from collections import Counter
from collections.abc import Callable, Sequence

from lab.runs.foreign import Samples
from lab.runs.rows import StepRows
from lab.tasks import same_answer


def side_by_side(parts: Sequence[Samples]) -> StepRows:
    """The answers of all files to each question, matched by the question's id, in the order in which they came.

    An arm is named by its model and the rule that scored it; where two files would share a name, by their time or
    path as well. Where files give one question different golds, the first counts and the others' line is warned of.
    """
    rows = StepRows(parts[0].path, parts=list(parts), lines=sum(part.lines for part in parts))
    rows.problems = [problem for part in parts for problem in part.problems]
    found: dict[str, dict] = {}
    for part, name in zip(parts, _names(parts), strict=True):
        seen: set[str] = set()
        for record in part.records:
            key = record["id"]
            if key in seen:  # its reader has said so
                continue
            seen.add(key)
            arms = {" · ".join(filter(None, (name, rule))): answer for rule, answer in record["arms"].items()}
            if key not in found:
                found[key] = record | {"arms": arms}
                continue
            gold = found[key]["gold"]
            if record["gold"] != gold and not same_answer(record["gold"], gold):
                part.warnings.append((part.places[key], "another gold than in the files before, whose gold is shown"))
            found[key]["arms"] |= arms
    rows.records = list(found.values())
    return rows


def _names(parts: Sequence[Samples]) -> list[str]:
    """A name for each file: its model, and as much more as tells it from the others."""
    ways: tuple[Callable[[Samples], str], ...] = (
        lambda part: part.model,
        lambda part: f"{part.model} @{part.time}",
        lambda part: f"{part.model} {part.task}",
        lambda part: f"{part.model} {part.path.parent.name}",
        lambda part: f"{part.model} {part.path.stem.rpartition('_')[2][:8]}",  # Inspect's name for a task's run
        lambda part: f"{part.model} {part.path}",
    )
    named = [[way(part) for part in parts] for way in ways]
    counts = [Counter(names) for names in named]
    chosen = []
    for place in range(len(parts)):
        alone = [names[place] for names, count in zip(named, counts, strict=True) if count[names[place]] == 1]
        chosen.append(alone[0] if alone else named[-1][place])
    return chosen
