"""Translators: source states in, soft tokens out. One contract, each architecture its own module.

Imports config, tasks and models.
"""

from lab.translators.bridge import Bridge
from lab.translators.constant import ConstantPrompt
from lab.translators.contract import Teacher, TranslatorOutput, as_long_as_source
from lab.translators.dit import DiT
from lab.translators.kinds import build_translator, load_translator, save_translator
from lab.translators.linear import Linear
from lab.translators.resampler import Resampler
