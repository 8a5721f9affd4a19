"""The small world that defects are planted in: a task of sums, and the calls that an experiment is made of.

Every call of an evaluation or a training goes through here, so that the suite follows them in one place.
"""

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import torch
from evaluations import evaluated

from lab.answers.generation import AnswerCache
from lab.config import RunConfig
from lab.models import Pair
from lab.runs import RunDirectory
from lab.studies import experiment
from lab.tasks import Question, Task, load_task, question_id
from lab.training import Selection, train
from lab.translators import build_translator

CELLS = ["plain/short"] * 4 + ["lore/long/seen"] * 4
ARMS = ("source", "target", "latent", "latent_shuffled")


def sums(told: str, more: int, cells=CELLS) -> list[Question]:
    """Questions `told` of n and n + more, one for each cell; every other one is longer, so batches have padding."""
    found = []
    for n, cell in enumerate(cells):
        text, total = told.format(n, n + more) + " Count them with care." * (n % 2), 2 * n + more
        found.append(Question(question_id(text), text, f"{n} + {n + more} = {total}\n#### {total}", str(total), cell))
    return found


QUESTIONS = sums("Ana has {} figs and buys {} more. How many figs does Ana have?", 3)
DEV = sums("Ben sells {} pens in May, then {} in June. How many pens does Ben sell in all?", 5, CELLS[2:6])
TRAINING = sums("Cleo reads {} pages at dawn and {} at dusk. How many pages is that?", 11, CELLS[2:6])
SHOWN = sums("A van holds {} crates, a truck holds {}. How many crates do both hold?", 17, CELLS[:2])


class Sums(Task):
    """Eight questions to be reported, four to choose on, four to train on, and two worked examples."""

    name, instruction = "sums", "Think.\n\n"

    def train(self, count, seed):
        return TRAINING[: count or None]

    def dev(self):
        return DEV

    def test(self):
        return QUESTIONS

    def exemplars(self, shots):
        return SHOWN[:shots]

    def hint(self, question):
        return "Note: count them.\n"


CONFIG = RunConfig.from_parameters(steps=2, batch_size=2, soft_tokens=3, width=16, depth=1, heads=2, max_new_tokens=8,
                                   eval_batch_size=3)  # fmt: skip
MINI = CONFIG.replace(dev_questions=4, test_questions=12)  # the same on a few questions of the embedded task


@dataclass
class World:
    """A pair, and a folder for runs. `task` and `config` None: the sums and `CONFIG`."""

    pair: Pair
    folder: Path
    names: count

    @staticmethod
    def forget() -> None:
        """What this process has answered before."""
        AnswerCache._memory.clear()

    def translator(self, config=CONFIG):
        torch.manual_seed(0)
        return build_translator(config.translator, self.pair, config.pair.source_layers)

    def evaluate(self, config=CONFIG, task=None, questions=None, translator=None, arms=ARMS, pair=None,
                 **given) -> list[dict]:  # fmt: skip
        """The arms on the questions, None: those of the task's test split."""
        task = task or Sums()
        questions = task.test() if questions is None else questions
        translator = translator or self.translator(config)
        return evaluated(config, pair or self.pair, task, questions, arms, translator=translator, **given)

    def start(self, config=CONFIG, task=None) -> experiment.Experiment:
        """A run of its own, not trained yet."""
        run = RunDirectory.create(self.folder / f"run_{next(self.names)}", config)
        return experiment.Experiment(config, run, self.pair, task or Sums())

    def check(self, config=CONFIG, task=None) -> None:
        """What is looked at before a training."""
        experiment.check_training(self.start(config, task), config)

    def train(self, config=CONFIG, task=None):
        return experiment.train_translator(self.start(config, task))

    def train_control(self, config=CONFIG, task=None):
        return experiment.train_constant(self.start(config, task))

    def train_with(self, questions, measure) -> None:
        """The loop with a researcher's own way to choose: `measure(translator, step, questions)`."""
        begun = self.start()
        train(begun.config, begun.pair, begun.task, begun.run, Selection(questions, measure))

    def finish(self, config=MINI, task=None) -> Path:
        """A run that was trained and tested: its folder."""
        begun = self.start(config, task or load_task(config.task))
        experiment.test_once(begun, experiment.train_translator(begun).translator)
        return begun.run.path


def each(questions, **changes) -> list[Question]:
    """The questions with fields changed: name -> function of the question."""
    return [replace(q, **{name: change(q) for name, change in changes.items()}) for q in questions]
