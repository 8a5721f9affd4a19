"""What an experiment is: its config in sections, the layout of what the target reads, the names of models.

Imports tasks alone, to know which there are and what each takes. No torch.
"""

from lab.config.layout import SOFT, TEXT, Layout, Soft, get_layout
from lab.config.model_names import GEMMA, LLAMA, MISTRAL, PACKAGE, PAIRS, RANDOM, SMOLLM2, short_name
from lab.config.run import NOT_SCIENTIFIC, SECTION_OF, RunConfig, set_in
from lab.config.sections import (
    NAMED_LAYERS,
    NAMED_LAYERS_TEXT,
    OF_TASKS,
    EvalConfig,
    PairConfig,
    TaskConfig,
    TrainConfig,
    TranslatorConfig,
)
from lab.config.yaml_files import load_yaml
