"""The names of intervals. One number may stand with two of them, of different width: each place says which it shows."""

WILSON = "95 % (Wilson)"  # of one arm's accuracy, its questions taken as independent
PAIRED = "95 % (paired)"  # of a difference between two arms on the same questions, these taken as independent
CLUSTERED = "95 % (by word)"  # of either, in the evidence: questions that share a word, and seeds, are not independent
INTERVALS = (
    "Wilson: of one arm, every question taken as independent. Paired: of a difference on the same questions "
    "(Newcombe's method 10), taken as independent, too. By word: in the tables of evidence and claims, where questions "
    "that share a word, and seeds, are counted as clusters; most often wider."
)
