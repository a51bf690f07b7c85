"""What every log key says, in words: the titles of figures, docs/metrics.md.

`<name>` stands for a reward function, `<k>` for a number of samples. `eval/<key>` is
the same on the held-out questions, where the trainers log it there.
"""

from __future__ import annotations

import re

LOG_KEYS: dict[str, tuple[str, str]] = {
    "step": ("batches of rollouts", "steps"),
    "updates": ("optimizer updates so far", "updates"),
    "num_completions": ("completions sampled so far", "completions"),
    "num_tokens": ("tokens so far, prompts included", "tokens"),
    "reward": ("reward", "reward"),
    "reward_std": ("spread of reward in a group", "reward"),
    "rewards/<name>/mean": ("<name>", "reward"),
    "rewards/<name>/std": ("spread of <name>", "reward"),
    "reward_weights/<name>": ("weight of <name>", "weight"),
    "frac_reward_zero_std": ("groups with equal rewards", "share of groups"),
    "frac_all_right": ("groups that are all right", "share of groups"),
    "loss": ("loss of the policy", "loss"),
    "loss/value": ("loss of the critic", "loss"),
    "grad_norm": ("norm of the gradient", "norm"),
    "learning_rate": ("learning rate", "rate"),
    "kl": ("KL to the reference", "nats"),
    "clip_ratio/low_mean": ("stopped by the lower clip", "share of tokens"),
    "clip_ratio/high_mean": ("stopped by the upper clip", "share of tokens"),
    "clip_ratio/region_mean": ("stopped by either clip", "share of tokens"),
    "clip_ratio/low_min": ("lower clip, least of a device", "share of tokens"),
    "clip_ratio/high_max": ("upper clip, most of a device", "share of tokens"),
    "clip_ratio/high_probability": (
        "old probability of tokens the upper clip stops",
        "probability",
    ),
    "entropy": ("entropy of the next token", "nats"),
    "mean_probability": ("probability of sampled tokens", "probability"),
    "completions/mean_length": ("mean length", "tokens"),
    "completions/min_length": ("shortest completion", "tokens"),
    "completions/max_length": ("longest completion", "tokens"),
    "completions/mean_terminated_length": ("mean length of ended ones", "tokens"),
    "completions/min_terminated_length": ("shortest ended completion", "tokens"),
    "completions/max_terminated_length": ("longest ended completion", "tokens"),
    "completions/mean_length_right": ("mean length of right answers", "tokens"),
    "completions/mean_length_wrong": ("mean length of wrong answers", "tokens"),
    "completions/clipped_ratio": ("cut off at the limit", "share of completions"),
    "dynamic_sampling/batches": ("batches sampled for a step", "batches"),
    "dynamic_sampling/groups_sampled": ("groups sampled for a step", "groups"),
    "dynamic_sampling/groups_informative": ("groups of mixed answers", "groups"),
    "dynamic_sampling/completions": ("completions sampled for a step", "completions"),
    "dynamic_sampling/tokens": ("tokens sampled for a step", "tokens"),
    "dynamic_sampling/accuracy": ("accuracy before the filter", "share right"),
    "dynamic_sampling/frac_all_right": (
        "all right, before the filter",
        "share of groups",
    ),
    "eval/greedy_accuracy": ("held-out accuracy, greedy", "share right"),
    "eval/sampled_accuracy": ("held-out accuracy, sampled", "share right"),
    "eval/maj@<k>": ("held out: majority of <k>", "share right"),
    "eval/pass@<k>": ("held out: one of <k> right", "share of questions"),
    "eval/mean_length": ("held out: mean length", "tokens"),
    "eval/terminated": ("held out: ended in time", "share of completions"),
    "eval/entropy": ("held out: entropy", "nats"),
    "search/arithmetic": ("search: equations that hold", "share of equations"),
    "search/hits_recognized": ("search: hits answered at once", "share of hits"),
    "search/misses_retried": ("search: misses followed by a try", "share of misses"),
    "search/repeated": ("search: tries made before", "share of tries"),
    "search/malformed": ("search: malformed tries", "share of tries"),
    "search/give_up": ("search: a miss given as the answer", "per response"),
    "search/tries": ("search: tries", "per response"),
    "search/waits": ("search: wait", "per response"),
    "search/solved": ("search: solved", "share of responses"),
    "search/foreign": ("search: tries with foreign numbers", "share of tries"),
    "verdicts/timed_out": ("verdicts stopped by the time limit", "verdicts"),
    "step_time": ("time of a step", "seconds"),
    "step_time/rollout": ("time of sampling", "seconds"),
}
_PATTERNS = {
    re.compile(re.escape(key).replace("<name>", "(.+)").replace("<k>", r"(\d+)")): key
    for key in LOG_KEYS
}


def in_words(key: str) -> tuple[str, str]:
    """Words and unit of a log key; the key itself and no unit where it is not ours."""
    for pattern, known in _PATTERNS.items():
        if found := pattern.fullmatch(key):
            words, unit = LOG_KEYS[known]
            for value in found.groups():
                words = re.sub(r"<\w+>", value.replace("_", " "), words)
            return words, unit
    if key.startswith("eval/") and key.removeprefix("eval/") in LOG_KEYS:
        words, unit = LOG_KEYS[key.removeprefix("eval/")]
        return f"held out, {words}", unit
    return key, ""
