"""Meters whose time is made up, so that a law of the clock is an equation and no test waits."""


class Ticking:
    """Every look at the time is a second after the one before; every part has held as many bytes as it is numbered."""

    memory = "resident"

    def __init__(self, begin: float = 0.0) -> None:
        self.now, self.held = begin, 0

    def mark(self) -> float:
        self.now += 1
        return self.now

    def reached(self, mark) -> bool:
        return True

    def wait(self, mark) -> None:
        pass

    def seconds(self, begin, end) -> float:
        return end - begin

    def peak(self) -> int:
        self.held += 1
        return self.held


class Late(Ticking):
    """A device that works when somebody waits for it: until then no border is reached, and reading one is an error.
    `work(seconds)` gives it something to do."""

    memory = "device"

    def __init__(self) -> None:
        super().__init__()
        self.queue, self.times, self.waits = [], {}, 0

    def work(self, seconds: float) -> None:
        self.queue.append(seconds)

    def mark(self) -> object:
        mark = object()
        self.queue.append(mark)
        return mark

    def reached(self, mark) -> bool:
        return mark in self.times

    def wait(self, mark) -> None:
        self.waits += 1
        for item in self.queue:
            if isinstance(item, float):
                self.now += item
            else:
                self.times[item] = self.now
        self.queue.clear()

    def seconds(self, begin, end) -> float:
        return self.times[end] - self.times[begin]
