"""What the sample browser is made of, from the bottom up: answers, sheets, comparison, tags, export, desk, screen."""
