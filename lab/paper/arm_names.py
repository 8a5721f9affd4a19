"""What the tables call an arm."""

GROUPS = (
    ("source", "target", "oracle"),
    ("token_budget", "token_budget_question", "cascade", "same_bytes", "text_hint", "text_tuned"),
    ("latent", "latent_bf16", "latent_int8", "latent_int4"),
    ("latent_shuffled", "latent_mean", "latent_zero", "latent_noise"),
    ("latent_constant", "latent_random_source", "latent_no_lore_source", "latent_target_source"),
)
NAMES = {
    "source": "source alone", "target": "target alone", "oracle": "either (oracle router)",
    "token_budget": "prompt cut to $K$ tokens", "token_budget_question": "question cut to $K$ tokens",
    "cascade": "source's answer as text", "same_bytes": "its answer, same bytes", "text_hint": "gold gloss as text",
    "text_tuned": "text with a trained prompt", "latent": r"\textbf{latent}", "latent_bf16": "latent, bf16 wire",
    "latent_int8": "latent, int8 wire", "latent_int4": "latent, int4 wire",
    "latent_shuffled": "another question's soft tokens", "latent_mean": "mean soft tokens",
    "latent_zero": "zeros", "latent_noise": "noise of equal size", "latent_constant": "constant prompt, retrained",
    "latent_random_source": "random source, retrained", "latent_no_lore_source": "source without lore, retrained",
    "latent_target_source": "target as source, retrained",
}  # fmt: skip
