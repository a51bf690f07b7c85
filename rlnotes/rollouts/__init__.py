"""ROLLOUTS: completions sampled from a policy, and their log-probabilities."""
