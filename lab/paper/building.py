"""From records to the files that the paper reads: macros and tables. What did not change is not written again."""

from __future__ import annotations

from pathlib import Path

from lab.errors import LabError
from lab.paper.ablation_table import ablations
from lab.paper.audit_macros import give_audit
from lab.paper.capture_macros import give_captured
from lab.paper.claim_macros import give_claims
from lab.paper.claim_table import claims
from lab.paper.compression_table import compression
from lab.paper.cost_macros import give_costs
from lab.paper.efficiency_table import efficiency
from lab.paper.experiment_table import experiments
from lab.paper.findings import Findings
from lab.paper.macros import HEAD, Macros, used_in
from lab.paper.main_table import main_results
from lab.paper.reading import Preserved
from lab.paper.real_macros import give_real
from lab.paper.sample_table import samples
from lab.paper.sentences import give_sentences
from lab.paper.trust_macros import give_trust
from lab.paper.world_macros import give_world
from lab.places import ROOT
from lab.runs import PRESERVED, write_text

PAPER = ROOT / "paper"
SENTENCES, BY_HAND = "sentences.yaml", ("paper.tex", "preamble.tex")


def all_macros(findings: Findings, sentences: Path) -> Macros:
    macros = Macros()
    for give in (give_world, give_claims, give_captured, give_costs, give_real, give_audit, give_trust):
        give(macros, findings)
    give_sentences(macros, findings, sentences)
    return macros


def contents(preserved: Preserved, sentences: Path) -> dict[str, str]:
    """File below `paper/` -> its text, for the `paper.tex` that lies beside the sentences.

    The macros are those that it, any wording of a sentence or a table uses; others are numbers that tables show.
    """
    findings = Findings(preserved)
    macros = all_macros(findings, sentences)
    tables = {
        "main_results": main_results(findings, macros), "ablations": ablations(findings),
        "compression": compression(findings), "efficiency": efficiency(findings), "claims": claims(findings),
        "samples": samples(findings), "experiments": experiments(findings),
    }  # fmt: skip
    by_hand = [sentences, *(sentences.parent / name for name in BY_HAND)]
    texts = [*(path.read_text("utf-8") for path in by_hand), *tables.values()]
    mark = HEAD.splitlines()[0] + "\n"
    files = {f"tables/{name}.tex": mark + text for name, text in tables.items()}
    return {"macros.tex": macros.text(used_in("\n".join(texts)))} | files


def build_paper(runs: str | Path = PRESERVED, paper: str | Path = PAPER) -> dict[Path, bool]:
    """Write `macros.tex` and `tables/` into `paper`, beside what is written by hand; file -> whether it is another now.

    Raises LabError where the folder of runs is missing.
    """
    runs, paper = Path(runs), Path(paper)
    if not runs.is_dir():
        raise LabError(f"{runs} is no folder; give one that holds preserved runs.")
    written = {}
    for name, text in contents(Preserved(runs), paper / SENTENCES).items():
        path = paper / name
        written[path] = not path.is_file() or path.read_text(encoding="utf-8") != text
        if written[path]:
            write_text(path, text)
    return written
