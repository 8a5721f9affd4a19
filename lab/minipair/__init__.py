"""How the embedded pair of tiny models was made: its two corpora, its tokenizers, its pretraining."""
