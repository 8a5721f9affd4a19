"""Frozen models from a hub, a folder, a GGUF file or a config, and what is given to them: inputs, positions, alignment.

Imports config.
"""

from lab.models.alignment import pooled, projected
from lab.models.cross_entropy import head_nll
from lab.models.fingerprints import fingerprint, weights_of
from lab.models.frozen import FrozenModel, SourceStates, layer_indices, pad_batch, positions
from lab.models.fused import can_fuse
from lab.models.inputs import IGNORED, TargetInputs, answer_logits, answer_rows, build_inputs, joined, tokenise
from lab.models.laws import LAWS, Finding, tried
from lab.models.loading import Pair, config_of, device_of, load_pair, load_tokenizers, tokenizer_of
from lab.models.nll import answer_nll, token_nats
from lab.models.quantised import packed_layers
from lab.models.room import check_prompt, check_source_text, count_tokens
from lab.models.state_cache import StateCache
from lab.models.steps import OwnSteps, first_step
from lab.models.transfer import Moment, Returning, sent
