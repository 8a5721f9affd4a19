"""Is a run that was made a second time the same? Digests of finished runs, to be held beside those of preserved ones.

    python benchmarks/digests.py OUT.json RUN [RUN ...]

Of each run: {"records": sha256 of its records on the test split, "metrics": sha256 of its metrics without what steps
took, "weights": those of source, target and translator that answered, as its seal has them}.
"""

import argparse
import json
from hashlib import sha256
from pathlib import Path

from lab.evidence import final_records
from lab.paper.reading import weights_in
from lab.runs import read_jsonl, read_seal, write_text
from lab.runs.packed import lying, unpack

METRICS = "metrics.jsonl"
CLOCKED = "seconds"  # the one number of a step that is another each time


def digests(run: Path) -> dict[str, object]:
    """The digests of one finished run, packed or not."""
    rows = [{name: value for name, value in row.items() if name != CLOCKED} for row in read_jsonl(lying(run / METRICS))]
    bridges = read_seal(final_records(run))["evaluation"]["bridges"]
    return {
        "records": sha256(unpack(final_records(run))).hexdigest(),
        "metrics": sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest(),
        "weights": [*weights_in(run), *(bridge["weights"] for bridge in bridges.values())],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    given = parser.parse_args()
    write_text(given.out, json.dumps({run.name: digests(run) for run in given.runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
