"""The one exception a person is meant to read: what went wrong, where, and what to do about it."""


class LabError(ValueError):
    """A mistake of configuration, data or environment, told in one sentence."""
