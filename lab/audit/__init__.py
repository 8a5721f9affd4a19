"""The audit: numbers that were reported, the archived rows and logs, and what they say of each other."""
