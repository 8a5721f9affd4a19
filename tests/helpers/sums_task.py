"""A task of ten sums: all that a training needs, in a moment."""

from lab.tasks import Question, Task, question_id


class Sums(Task):
    name = "sums"

    def train(self, count, seed):
        texts = [(f"Tom has {a} apples and buys {a + 5} more. How many?", f"{2 * a + 5}.", str(2 * a + 5))
                 for a in range(10)]  # fmt: skip
        return [Question(question_id(q), q, f"{a}\n#### {gold}", gold, "plain") for q, a, gold in texts]

    def dev(self):
        return self.train(0, 0)[:2]

    test = dev

    def exemplars(self, shots):
        return self.train(0, 0)[:shots]
