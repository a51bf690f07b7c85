"""The line of another code base that a row of `docs/differences.md` speaks of.

A row is named by its number. `says` is what stands on the line: for TRL 1.16.0 a test
reads it in the installed version, the others were read at the commit that is named.
Without a line the link leads to the file; `says` is what to look for there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A line, or a file, at a commit or a tag that does not move."""

    who: str
    repository: str
    at: str
    path: str
    line: int | None
    says: str

    @property
    def url(self) -> str:
        """Permalink to the line, or to the file."""
        place = f"https://github.com/{self.repository}/blob/{self.at}/{self.path}"
        return place if self.line is None else f"{place}#L{self.line}"


def trl(line: int, says: str, path: str = "trl/trainer/grpo_trainer.py") -> Link:
    """A line of TRL 1.16.0."""
    return Link("trl", "huggingface/trl", "v1.16.0", path, line, says)


def trl_ppo(says: str) -> Link:
    """A line of TRL's PPO, which 1.16.0 no longer has."""
    at, path = "0062ee10a9bc59dbb7ba244f3bbaf2e81f25196f", "trl/experimental/ppo"
    return Link("trl", "huggingface/trl", at, f"{path}/ppo_trainer.py", None, says)


def verl(line: int | None, says: str) -> Link:
    """A line of verl's advantages."""
    at, path = "018f23b5f83a13340421349e40ec42530739b23a", "trainer/ppo/core_algos.py"
    return Link("verl", "verl-project/verl", at, f"verl/{path}", line, says)


def nvlabs_verl(line: int, says: str) -> Link:
    """A line of NVlabs' verl fork."""
    at = "7ab53aff153b17910fd5c12bc198e8700800be23"
    path = "verl-GDPO/verl/trainer/ppo/ray_trainer.py"
    return Link("nvlabs_verl", "NVlabs/GDPO", at, path, line, says)


def dapo_recipe(says: str) -> Link:
    """A line of verl's recipe for DAPO."""
    at, path = "dd811fe49f8940634c0391692995a9c621665d2f", "dapo/dapo_ray_trainer.py"
    return Link("verl", "verl-project/verl-recipe", at, path, None, says)


def nemo(says: str) -> Link:
    """A line of NeMo's advantages."""
    at = "00925dd1e44b816b5cb6afa27d23d7bd7af2b957"
    path = "nemo_rl/algorithms/advantage_estimator.py"
    return Link("nemo", "NVIDIA-NeMo/RL", at, path, None, says)


ASYNC = "trl/experimental/async_grpo/async_rollout_worker.py"
WHITEN = "masked_whiten(new_advantage, response_mask)"
LINKS: dict[int, list[Link]] = {
    1: [trl(3170, 'inputs["num_items_in_batch"]')],
    2: [
        trl(2787, "std_rewards + 1e-4"),
        trl(1065, "scored.std() + 1e-8", ASYNC),
        verl(326, "id2std[index[i]] + epsilon"),
    ],
    3: [
        trl(1137, "num_generations < 2", "trl/trainer/grpo_config.py"),
        verl(316, "id2mean[idx] = torch.tensor(0.0)"),
    ],
    4: [nemo("leave_one_out_baseline=self.use_leave_one_out_baseline")],
    5: [
        trl(3116, "max=self.args.delta"),
        verl(None, "torch.min(pg_losses3, clip_pg_losses1)"),
    ],
    6: [
        trl(3101, "torch.exp(ref_per_token_logps - per_token_logps)"),
        verl(None, "torch.clamp(kld, min=-10, max=10)"),
    ],
    7: [trl(3105, "per_token_kl * coef_1")],
    8: [trl(3066, "per_token_logps.detach() if old_per_token_logps is None")],
    9: [trl(3164, "per_token_loss.size(0) * self.max_completion_length")],
    10: [trl(3172, "self.args.steps_per_generation")],
    11: [trl(3159, "mask.sum().clamp(min=1.0)")],
    12: [trl(3154, "mask.sum(-1).clamp(min=1.0)).mean()")],
    13: [trl(137, "rewards.append(-1.0)", "trl/rewards/other_rewards.py")],
    14: [dapo_recipe("if std > 0 or len(prompt_uid2metric_vals[uid]) == 1")],
    15: [
        trl(2799, "rewards - torch.nanmean(rewards)"),
        verl(466, WHITEN),
        nvlabs_verl(199, WHITEN),
    ],
    16: [
        trl(2799, "rewards - torch.nanmean(rewards)"),
        verl(466, WHITEN),
        nvlabs_verl(176, "only handle two reward now"),
    ],
    17: [trl(2796, "nansum(dim=1)")],
    18: [
        verl(429, "comp = non_tensor_batch[key]"),
        nvlabs_verl(177, "data.batch['token_level_scores_correctness']"),
    ],
    19: [verl(262, "masked_whiten(advantages, response_mask)")],
    20: [trl_ppo("rewards[actual_start, actual_end] += scores")],
    22: [trl(3179, "(per_token_loss * mask).sum(-1).mean()")],
    24: [trl(2210, "self.rollout_func(prompts, self)")],
    25: [trl(2787, "std_rewards + 1e-4"), verl(326, "id2std[index[i]] + epsilon")],
    26: [verl(466, WHITEN), nvlabs_verl(199, WHITEN)],
    27: [verl(255, "(1 - response_mask[:, t]) * nextvalues")],
    28: [trl_ppo("vf_loss_max = torch.max(vf_losses1, vf_losses2)")],
    29: [verl(None, "torch.clamp(negative_approx_kl, min=-20.0, max=20.0)")],
    30: [verl(None, "global_batch_size = seq_mask.sum()")],
    31: [trl(3110, "max=self.epsilon_high")],
    32: [trl(1828, "torch.exp(log_ratio)", "trl/trainer/rloo_trainer.py")],
}
