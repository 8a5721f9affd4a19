"""What an answer costs: tokens, bytes and seconds of each arm.

Imports config, tasks, models, answers, runs and evidence.
"""

from lab.costs.inference import aggregate, inference_rows, time_by_length, write_inference
