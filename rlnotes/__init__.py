"""Reinforcement learning on reasoning language models, from PPO to GDPO.

    question → rollouts → rewards → advantages → objective → update → record → figure

Every public function is here under its own name (`rlnotes.kl_k3`), in the order of that
line; a name is imported when it is first used, so `import rlnotes` costs nothing.
"""

from importlib import import_module
from typing import Any

_CATALOGUE: dict[str, tuple[str, ...]] = {
    # question
    "tasks.base": ("Task", "TaskSet"),
    "tasks.search_language": ("legal_tries",),
    "tasks.search": ("SearchTask",),
    "tasks.loading": ("load_task",),
    "tasks.search_traces": ("Trace", "analyze", "trace_rates"),
    # policy
    "policies.policy": ("Policy", "Critic", "load_policy"),
    "policies.embedded": ("fetch_embedded_model",),
    "policies.kept": ("save_policy",),
    "policies.tiny": ("tiny_tokenizer", "tiny_policy"),
    "supervised.search_pretraining": ("Pretraining", "pretrain", "search_tokenizer"),
    "rollouts.scoring": ("per_token_logps", "packed_logps"),
    # rollouts
    "rollouts.rollouts": (
        "Rollouts",
        "encode_prompts",
        "generate_rollouts",
    ),
    "rollouts.dynamic_sampling": ("sample_informative",),
    "equations.masking": ("completion_mask_from_ids", "masked_mean", "masked_var"),
    # rewards
    "rewards.rewards": (
        "accuracy_reward",
        "get_accuracy_reward",
        "format_reward",
        "get_length_reward",
        "get_soft_overlong_punishment",
        "language_consistency_reward",
        "get_language_consistency_reward",
        "compute_rewards",
    ),
    "rewards.integer": ("integer_reward",),
    "rewards.own": ("load_reward", "group_rows"),
    "rewards.probing": ("probe",),
    "equations.shaping": (
        "soft_overlong_punishment",
        "overlong_filter",
        "kl_penalized_rewards",
        "conditioned_rewards",
        "informative_groups",
    ),
    "equations.preferences": (
        "bradley_terry_loss",
        "win_rates",
        "ensemble_lower_bound",
        "rubric_scores",
    ),
    # advantages
    "equations.gae": ("generalized_advantage_estimation", "length_adaptive_lambda"),
    "equations.whitening": ("whiten",),
    "equations.group_advantages": (
        "group_relative_advantages",
        "leave_one_out_advantages",
    ),
    "equations.decoupled": ("decoupled_advantages",),
    "equations.weighting": (
        "saturation_weights",
        "variation_weights",
        "sigma_weights",
        "multiplier_step",
    ),
    # objective
    "equations.surrogates": (
        "importance_ratio",
        "clipped_surrogate_loss",
        "cispo_loss",
        "policy_gradient_loss",
        "clip_fractions",
    ),
    "equations.successors": (
        "soft_gate_loss",
        "divergence_mask_loss",
        "sampler_correction",
    ),
    "equations.aggregation": ("token_weights", "aggregate_loss"),
    "equations.objectives": (
        "per_token_policy_loss",
        "policy_loss",
        "value_loss",
    ),
    "equations.divergences": (
        "kl_k1",
        "kl_k2",
        "kl_k3",
        "kl_penalty",
        "exact_kl",
        "token_entropy",
    ),
    "equations.fused": ("fused_policy_loss", "fused_sequence_loss", "fused_logps"),
    "equations.conventions": ("Convention", "CONVENTIONS"),
    # update
    "training.config": (
        "Config",
        "ALGORITHMS",
        "make_config",
        "load_config",
        "config_from_notebook",
    ),
    "training.loop": ("TrainingResult", "train"),
    "supervised.fine_tuning": ("fine_tune",),
    "supervised.reward_model": (
        "RewardModel",
        "load_reward_model",
        "train_reward_model",
    ),
    "supervised.curation": ("Response", "sample_responses", "reject"),
    "batch.plan": ("parse_seeds", "plan_sweep"),
    "batch.sweeps": ("run_sweep",),
    "training.report": ("report_on", "pass_at"),
    "training.evaluation": ("evaluate", "answer_held_out", "split_gain"),
    # record
    "records.run_folders": ("runs_folder", "run_name", "find_runs"),
    "records.recording": ("RunRecorder",),
    "records.reading": ("Run", "load_arms", "load_run", "load_runs"),
    "records.results": ("results_table",),
    "analysis.papers": ("paper_sources", "paper_table", "paper_curve", "wide_table"),
    # figure
    "analysis.intervals": (
        "Interval",
        "interquartile_mean",
        "stratified_bootstrap",
        "wilson_interval",
    ),
    "analysis.statistics": (
        "PairedDifference",
        "final_scores",
        "score_intervals",
        "metric_bands",
        "at_equal",
        "paired_difference",
    ),
    "analysis.figures": (
        "use_style",
        "plot_surrogate",
        "plot_group",
        "plot_run",
        "plot_bands",
        "plot_before_after",
        "samples_table",
    ),
    # analysis
    "reflection.words": ("WORD_LISTS", "WordList", "load_words"),
    "reflection.lab": ("lab_reflection", "search_question"),
    "reflection.text": ("text_behaviors",),
    "reflection.benefit": ("MatchedCounts", "Flips", "compare_with_baseline"),
    "reflection.counts": ("count_reflection", "rates"),
    "reflection.report": ("reflect",),
    "reflection.scores": ("detect_behaviors", "detector_scores"),
    # around it
    "machine.provenance": ("project_folder", "describe_run"),
    "batch.notebook_runner": ("run_notebooks",),
    "batch.one_notebook": ("run_notebook_with_config",),
    "teaching.exercises": ("check_exercise",),
    "batch.check": ("run_check",),
}
_MODULE_OF = {name: module for module, names in _CATALOGUE.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Import a catalogued name, or one of the modules, on first use (PEP 562)."""
    if name in _MODULE_OF:
        value = getattr(import_module(f"rlnotes.{_MODULE_OF[name]}"), name)
    elif name in _CATALOGUE:
        value = import_module(f"rlnotes.{name}")
    else:
        raise AttributeError(f"module 'rlnotes' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The catalogue, for completion."""
    return sorted({*globals(), *_MODULE_OF, *_CATALOGUE})
