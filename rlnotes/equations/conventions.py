"""What the papers say and what six code bases do, as keywords for the equations.

    group_relative_advantages(rewards, 8, **CONVENTIONS["verl"].group_advantage)

Numbers B1 to B24 in the comments are rows of `docs/differences.md`, which executes
them; A1 GAE, A2 group advantage, A3 clip, A4 aggregation, A5 KL, A6 and A7 overlong,
A8 dynamic sampling and A9 GDPO are its topics. None is "not implemented there".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Keywords = Mapping[str, Any]


def _keywords(**keywords: Any) -> Keywords:
    """Read-only keywords."""
    return MappingProxyType(keywords)


@dataclass(frozen=True)
class Convention:
    """Keywords that reproduce one source; None where the source lacks the thing.

    Attributes:
        name: key in `CONVENTIONS`.
        source: paper or code base with the version that was read.
        gae: for `generalized_advantage_estimation` (γ and λ are the defaults there).
        whiten: for `advantages.whiten`, applied to GAE advantages.
        value: for `objectives.value_loss`.
        group_advantage: for `group_relative_advantages`.
        leave_one_out: for `leave_one_out_advantages`.
        decoupled: for `decoupled_advantages`.
        ratio: for `importance_ratio`, and `max_log_ratio` of `policy_loss`.
        clip: for `clipped_surrogate_loss`, and the same names of `policy_loss`.
        cispo: for `cispo_loss`.
        kl: for `divergences.kl_penalty`; `policy_keywords` renames it.
        aggregation: for `token_weights` and `aggregate_loss`. The caller adds
            num_generations ("dapo_prompt") or max_completion_length ("dr_grpo").
        overlong_filter: whether rows filtered as overlong still count, for
            `token_weights`; None where the filter does not exist.
        overlong: for `soft_overlong_punishment`; the caller adds the lengths.
        dynamic_sampling: for `informative_groups`.
    """

    name: str
    source: str
    group_advantage: Keywords
    clip: Keywords
    kl: Keywords
    aggregation: Keywords
    ratio: Keywords
    gae: Keywords | None = None
    whiten: Keywords | None = None
    value: Keywords | None = None
    leave_one_out: Keywords | None = None
    decoupled: Keywords | None = None
    cispo: Keywords | None = None
    overlong_filter: Keywords | None = None
    overlong: Keywords | None = None
    dynamic_sampling: Keywords | None = None

    def policy_keywords(self) -> dict[str, Any]:
        """Keywords of `objectives.policy_loss`: ratio, clip, KL and aggregation."""
        kl = {
            "kl_estimator": self.kl["estimator"],
            "kl_gradient": self.kl["gradient"],
            "kl_clamp": self.kl["clamp"],
        }
        ratio = {"max_log_ratio": self.ratio["max_log_ratio"]}
        return {**self.clip, **kl, **ratio, **self.aggregation}


_NO_CLAMP = _keywords(level="token", max_log_ratio=None)
_CLAMP_20 = _keywords(level="token", max_log_ratio=20.0)
_K3 = _keywords(estimator="k3", gradient="autodiff", clamp=None)
# Only the value is clamped there. 80 changes no number, as k3 is beyond 10 long before,
# but keeps e^d finite in float32, where their gradient is NaN from d = 89 on
_K3_CLAMP_10 = _keywords(estimator="k3", gradient="autodiff", clamp=(80.0, 10.0))

_PAPER = Convention(
    name="paper",
    source="PPO 1707.06347, GRPO 2402.03300, DAPO 2503.14476, GDPO 2601.05242",
    gae=_keywords(gamma=1.0, lam=0.95, masked="carry"),
    whiten=None,  # PPO's paper does not whiten
    value=_keywords(cliprange_value=None),  # PPO Eq 9: plain squared error
    # GRPO §4.1.2 and DAPO Eq 9 have no ε and do not say which std; GDPO's ±.7071
    # in its example is the unbiased one.
    group_advantage=_keywords(
        scale_rewards="group",
        correction=1,
        eps=0.0,
        baseline="mean",
        singleton="zero",
        none_rewards="error",
    ),
    leave_one_out=_keywords(singleton="zero", none_rewards="error"),
    decoupled=_keywords(
        correction=1,
        eps=0.0,
        baseline="mean",
        batch_stats="sequence",
        batch_eps=1e-4,  # Eq 6 has an ε and no number
        single_reward="renormalize",
        singleton="zero",
        none_rewards="error",
    ),
    ratio=_NO_CLAMP,
    # DAPO raises epsilon_high to .28
    clip=_keywords(epsilon=0.2, epsilon_high=None, delta=None, delta_rule="negative"),
    cispo=None,  # MiniMax-M1 does not state its cap
    kl=_K3,  # GRPO Eq 4; DAPO has none
    aggregation=_keywords(loss_type="dapo_prompt", count_empty=True),  # DAPO Eq 8
    overlong_filter=None,  # DAPO §3.4 masks the loss, the denominator is unspecified
    overlong=_keywords(max_completion_len=20480, soft_punish_cache=4096, bounded=True),
    dynamic_sampling=_keywords(rule="open_interval", keep_singletons=False),
)

_TRL = Convention(
    name="trl",
    source="TRL 1.16.0 (PPO as in trl.experimental.ppo of 1.12.0, its last version)",
    gae=_keywords(gamma=1.0, lam=0.95, masked="zero"),  # A1; terminal reward: B20
    whiten=_keywords(correction=1, eps=1e-8, shift_mean=True),
    value=_keywords(cliprange_value=0.2),
    group_advantage=_keywords(  # A2
        scale_rewards="group",
        correction=1,
        eps=1e-4,
        baseline="mean",
        singleton="zero",
        none_rewards="skip",
    ),
    leave_one_out=_keywords(singleton="zero", none_rewards="skip"),  # RLOOTrainer
    decoupled=_keywords(  # A9, multi_objective_aggregation="normalize_then_sum"
        correction=1,
        eps=1e-4,
        baseline="mean",
        batch_stats="sequence",
        batch_eps=1e-4,
        single_reward="renormalize",
        singleton="zero",
        none_rewards="skip",
    ),
    ratio=_NO_CLAMP,  # A3
    clip=_keywords(epsilon=0.2, epsilon_high=None, delta=None, delta_rule="both"),
    cispo=_keywords(epsilon_high=5.0, epsilon=None),  # recommended in its docs
    # A5: use_bias_correction_kl is on by default since 1.10
    kl=_keywords(estimator="k3", gradient="importance", clamp=None),
    aggregation=_keywords(loss_type="dapo", count_empty=True),  # A4
    overlong_filter=_keywords(count_empty=True),  # A6: grpo, dr_grpo keep the rows in B
    overlong=_keywords(bounded=True),  # A7
    dynamic_sampling=None,  # A8
)

_VERL = Convention(
    name="verl",
    source="verl 0.10.0.dev 1dda039 (core_algos as in 0.9.1), recipe dapo 48ea0a7",
    gae=_keywords(gamma=1.0, lam=1.0, masked="carry"),
    whiten=_keywords(correction=1, eps=1e-8, shift_mean=True),
    value=_keywords(cliprange_value=0.5),
    group_advantage=_keywords(  # A2; None rewards do not exist
        scale_rewards="group",
        correction=1,
        eps=1e-6,
        baseline="mean",
        singleton="raw",
        none_rewards="error",
    ),
    leave_one_out=_keywords(singleton="raw", none_rewards="error"),
    decoupled=_keywords(  # A9; rsqrt(var + 1e-8) over tokens
        correction=1,
        eps=1e-6,
        baseline="mean",
        batch_stats="token",
        batch_eps=1e-8,
        single_reward="renormalize",
        singleton="raw",
        none_rewards="error",
    ),
    ratio=_CLAMP_20,
    # A3: dual clip always on at 3; the DAPO script has clip .2/.28 and 10
    clip=_keywords(epsilon=0.2, epsilon_high=0.2, delta=3.0, delta_rule="negative"),
    cispo=_keywords(epsilon_high=1.2, epsilon=0.2),
    kl=_keywords(estimator="k3", gradient="autodiff", clamp=(20.0, 10.0)),  # A5
    aggregation=_keywords(loss_type="dapo", count_empty=False),  # A4, token-mean
    overlong_filter=None,  # A6
    overlong=_keywords(bounded=False),  # A7
    dynamic_sampling=_keywords(rule="std", keep_singletons=True),  # A8, recipe
)

_NVLABS_TRL = Convention(
    name="nvlabs_trl",
    source="NVlabs/GDPO b080e63, the fork of TRL 0.18",
    group_advantage=_keywords(
        scale_rewards="group",
        correction=1,
        eps=1e-4,
        baseline="mean",
        singleton="zero",
        none_rewards="zero",
    ),
    decoupled=_keywords(  # A9
        correction=1,
        eps=1e-4,
        baseline="mean",
        batch_stats="sequence",
        batch_eps=1e-4,
        single_reward="grpo",
        singleton="zero",
        none_rewards="zero",
    ),
    ratio=_NO_CLAMP,
    clip=_keywords(epsilon=0.2, epsilon_high=None, delta=None, delta_rule="both"),
    kl=_K3,
    aggregation=_keywords(loss_type="bnpo", count_empty=True),  # 0.18's default
    overlong_filter=_keywords(count_empty=True),
)

_NVLABS_VERL = Convention(
    name="nvlabs_verl",
    source="NVlabs/GDPO b080e63, the fork of verl (0.2 or older)",
    gae=_keywords(gamma=1.0, lam=1.0, masked="zero"),  # read padding values too: B21
    whiten=_keywords(correction=1, eps=1e-8, shift_mean=True),
    value=_keywords(cliprange_value=0.5),
    group_advantage=_keywords(
        scale_rewards="group",
        correction=1,
        eps=1e-6,
        baseline="mean",
        singleton="raw",
        none_rewards="error",
    ),
    decoupled=_keywords(  # A9; exactly two rewards, weights not implemented
        correction=1,
        eps=1e-6,
        baseline="mean",
        batch_stats="token",
        batch_eps=1e-8,
        single_reward="error",
        singleton="raw",
        none_rewards="error",
    ),
    # Losses as in verl 0.2, whose eos_mask keywords the fork still uses: no clamp of
    # the ratio, no dual clip, no dynamic sampling, token mean per micro-batch
    ratio=_NO_CLAMP,
    clip=_keywords(epsilon=0.2, epsilon_high=None, delta=None, delta_rule="negative"),
    kl=_K3_CLAMP_10,
    aggregation=_keywords(loss_type="bnpo", count_empty=True),
)

_NEMO = Convention(
    name="nemo",
    source="NVIDIA-NeMo/RL 7ea279a",
    gae=_keywords(gamma=1.0, lam=0.95, masked="carry"),
    whiten=_keywords(correction=1, eps=1e-8, shift_mean=True),
    value=_keywords(cliprange_value=None),
    group_advantage=_keywords(  # A2, B4: leave-one-out mean and std by default
        scale_rewards="group",
        correction=1,
        eps=1e-6,
        baseline="leave_one_out",
        singleton="zero",
        none_rewards="error",
    ),
    decoupled=_keywords(  # A9
        correction=1,
        eps=1e-6,
        baseline="leave_one_out",
        batch_stats="sequence",
        batch_eps=0.0,
        single_reward="error",
        singleton="zero",
        none_rewards="error",
    ),
    ratio=_NO_CLAMP,
    clip=_keywords(epsilon=0.2, epsilon_high=0.2, delta=None, delta_rule="negative"),
    cispo=_keywords(epsilon_high=1.2, epsilon=0.2),
    kl=_keywords(estimator="k3", gradient="autodiff", clamp=(20.0, 10.0)),
    aggregation=_keywords(loss_type="dapo", count_empty=False),  # global valid tokens
    overlong_filter=_keywords(count_empty=False),  # A6
    overlong=_keywords(bounded=False),
    dynamic_sampling=_keywords(rule="std", keep_singletons=False),
)

_OPENRLHF = Convention(
    name="openrlhf",
    source="OpenRLHF 0.11.0 3c3be62",
    gae=_keywords(gamma=1.0, lam=1.0, masked="zero"),
    whiten=_keywords(correction=0, eps=1e-8, shift_mean=True),  # clamps var at 1e-8
    value=_keywords(cliprange_value=0.5),
    group_advantage=_keywords(  # A2; a group of one is NaN there
        scale_rewards="group",
        correction=1,
        eps=1e-9,
        baseline="mean",
        singleton="error",
        none_rewards="error",
    ),
    leave_one_out=_keywords(singleton="error", none_rewards="error"),
    ratio=_CLAMP_20,
    clip=_keywords(epsilon=0.2, epsilon_high=0.2, delta=None, delta_rule="negative"),
    kl=_K3_CLAMP_10,
    aggregation=_keywords(loss_type="dapo", count_empty=False),
    overlong=_keywords(bounded=True),  # times a penalty factor
    dynamic_sampling=_keywords(rule="open_interval", keep_singletons=False),
)

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        convention.name: convention
        for convention in (
            _PAPER,
            _TRL,
            _VERL,
            _NVLABS_TRL,
            _NVLABS_VERL,
            _NEMO,
            _OPENRLHF,
        )
    }
)
"""Every convention by name."""
