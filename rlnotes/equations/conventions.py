"""What the papers say and what six code bases do, as keywords for the equations.

    group_relative_advantages(rewards, 8, **CONVENTIONS["verl"].group_advantage)

Numbers B1 to B24 in the comments are rows of `docs/differences.md`, which executes
them; A1 GAE, A2 group advantage, A3 clip, A4 aggregation, A5 KL, A6 and A7 overlong,
A8 dynamic sampling and A9 GDPO are its topics. None is "not implemented there". Each
set of keywords is written as its difference from the one that it was made of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Keywords = Mapping[str, Any]


def _keywords(base: Keywords | None = None, **keywords: Any) -> Keywords:
    """Read-only keywords: those of `base` with these in their place."""
    return MappingProxyType({**(base or {}), **keywords})


@dataclass(frozen=True)
class Convention:
    """Keywords that reproduce one source; None where the source lacks the thing."""

    name: str  # key in `CONVENTIONS`
    source: str  # paper or code base with the version that was read
    group_advantage: Keywords  # for `group_relative_advantages`
    clip: Keywords  # for `clipped_surrogate_loss`, the same names for `policy_loss`
    kl: Keywords  # for `divergences.kl_penalty`; `policy_keywords` renames it
    # for `token_weights` and `aggregate_loss`. The caller adds num_generations
    # ("dapo_prompt") or max_completion_length ("dr_grpo")
    aggregation: Keywords
    ratio: Keywords  # for `importance_ratio`, and `max_log_ratio` of `policy_loss`
    # for `generalized_advantage_estimation`; γ and λ are the defaults there
    gae: Keywords | None = None
    whiten: Keywords | None = None  # for `whitening.whiten`, applied to GAE advantages
    value: Keywords | None = None  # for `objectives.value_loss`
    leave_one_out: Keywords | None = None  # for `leave_one_out_advantages`
    decoupled: Keywords | None = None  # for `decoupled_advantages`
    cispo: Keywords | None = None  # for `cispo_loss`
    # whether rows filtered as overlong still count, for `token_weights`; None where
    # the filter does not exist
    overlong_filter: Keywords | None = None
    overlong: Keywords | None = None  # `soft_overlong_punishment`, without the lengths
    dynamic_sampling: Keywords | None = None  # for `informative_groups`

    def policy_keywords(self) -> dict[str, Any]:
        """Keywords of `objectives.policy_loss`: ratio, clip, KL and aggregation."""
        kl = {f"kl_{name}": value for name, value in self.kl.items()}
        ratio = {"max_log_ratio": self.ratio["max_log_ratio"]}
        return {**self.clip, **kl, **ratio, **self.aggregation}


_GAE = _keywords(gamma=1.0, lam=1.0, masked="carry")
_WHITEN = _keywords(correction=1, eps=1e-8, shift_mean=True)
# GRPO §4.1.2 and DAPO Eq 9 have no ε and do not say which std; GDPO's ±.7071 in its
# example is the unbiased one
_GROUP = _keywords(
    scale_rewards="group",
    correction=1,
    eps=0.0,
    baseline="mean",
    singleton="zero",
    none_rewards="error",
)
_NO_CLAMP = _keywords(level="token", max_log_ratio=None)
_CLAMP_20 = _keywords(level="token", max_log_ratio=20.0)
_CLIP = _keywords(epsilon=0.2, epsilon_high=None, delta=None, delta_rule="negative")
_K3 = _keywords(estimator="k3", gradient="autodiff", clamp=None)
# Only the value is clamped there. 80 changes no number, as k3 is beyond 10 long before,
# but keeps e^d finite in float32, where their gradient is NaN from d = 89 on
_K3_CLAMP_10 = _keywords(_K3, clamp=(80.0, 10.0))
_K3_CLAMP_20_10 = _keywords(_K3, clamp=(20.0, 10.0))
_TOKEN_MEAN = _keywords(loss_type="dapo", count_empty=False)


def _leave_one_out(group: Keywords) -> Keywords:
    """What RLOO shares with the group advantage of the same code base."""
    return _keywords(singleton=group["singleton"], none_rewards=group["none_rewards"])


def _decoupled(
    group: Keywords,
    *,
    batch_eps: float,
    batch_stats: str = "sequence",
    single_reward: str = "renormalize",
) -> Keywords:
    """GDPO over the group advantage of the same code base."""
    batch = _keywords(batch_stats=batch_stats, batch_eps=batch_eps)
    per_reward = {key: group[key] for key in group if key != "scale_rewards"}
    return _keywords(per_reward, **batch, single_reward=single_reward)


_PAPER = Convention(
    name="paper",
    source="PPO 1707.06347, GRPO 2402.03300, DAPO 2503.14476, GDPO 2601.05242",
    gae=_keywords(_GAE, lam=0.95),
    whiten=None,  # PPO's paper does not whiten
    value=_keywords(cliprange_value=None),  # PPO Eq 9: plain squared error
    group_advantage=_GROUP,
    leave_one_out=_leave_one_out(_GROUP),
    decoupled=_decoupled(_GROUP, batch_eps=1e-4),  # Eq 6 has an ε and no number
    ratio=_NO_CLAMP,
    clip=_CLIP,  # DAPO raises epsilon_high to .28
    cispo=None,  # MiniMax-M1 does not state its cap
    kl=_K3,  # GRPO Eq 4; DAPO has none
    aggregation=_keywords(loss_type="dapo_prompt", count_empty=True),  # DAPO Eq 8
    overlong_filter=None,  # DAPO §3.4 masks the loss, the denominator is unspecified
    overlong=_keywords(max_completion_len=20480, soft_punish_cache=4096, bounded=True),
    dynamic_sampling=_keywords(rule="open_interval", keep_singletons=False),
)

_TRL_GROUP = _keywords(_GROUP, eps=1e-4, none_rewards="skip")
_TRL = Convention(
    name="trl",
    source="TRL 1.16.0 (PPO as in trl.experimental.ppo of 1.12.0, its last version)",
    gae=_keywords(_GAE, lam=0.95, masked="zero"),  # A1; terminal reward: B20
    whiten=_WHITEN,
    value=_keywords(cliprange_value=0.2),
    group_advantage=_TRL_GROUP,  # A2
    leave_one_out=_leave_one_out(_TRL_GROUP),  # RLOOTrainer
    # A9, multi_objective_aggregation="normalize_then_sum"
    decoupled=_decoupled(_TRL_GROUP, batch_eps=1e-4),
    ratio=_NO_CLAMP,  # A3
    clip=_keywords(_CLIP, delta_rule="both"),
    cispo=_keywords(epsilon_high=5.0, epsilon=None),  # recommended in its docs
    # A5: use_bias_correction_kl is on by default since 1.10
    kl=_keywords(_K3, gradient="importance"),
    aggregation=_keywords(loss_type="dapo", count_empty=True),  # A4
    overlong_filter=_keywords(count_empty=True),  # A6: grpo, dr_grpo keep the rows in B
    overlong=_keywords(bounded=True),  # A7
    dynamic_sampling=None,  # A8
)

_VERL_GROUP = _keywords(_GROUP, eps=1e-6, singleton="raw")
_VERL = Convention(
    name="verl",
    source="verl 0.10.0.dev 1dda039 (core_algos as in 0.9.1), recipe dapo 48ea0a7",
    gae=_GAE,
    whiten=_WHITEN,
    value=_keywords(cliprange_value=0.5),
    group_advantage=_VERL_GROUP,  # A2; None rewards do not exist
    leave_one_out=_leave_one_out(_VERL_GROUP),
    # A9; rsqrt(var + 1e-8) over tokens
    decoupled=_decoupled(_VERL_GROUP, batch_stats="token", batch_eps=1e-8),
    ratio=_CLAMP_20,
    # A3: dual clip always on at 3; the DAPO script has clip .2/.28 and 10
    clip=_keywords(_CLIP, epsilon_high=0.2, delta=3.0),
    cispo=_keywords(epsilon_high=1.2, epsilon=0.2),
    kl=_K3_CLAMP_20_10,  # A5
    aggregation=_TOKEN_MEAN,  # A4
    overlong_filter=None,  # A6
    overlong=_keywords(bounded=False),  # A7
    dynamic_sampling=_keywords(rule="std", keep_singletons=True),  # A8, recipe
)

_NVLABS_TRL_GROUP = _keywords(_GROUP, eps=1e-4, none_rewards="zero")
_NVLABS_TRL = Convention(
    name="nvlabs_trl",
    source="NVlabs/GDPO b080e63, the fork of TRL 0.18",
    group_advantage=_NVLABS_TRL_GROUP,
    decoupled=_decoupled(_NVLABS_TRL_GROUP, batch_eps=1e-4, single_reward="grpo"),  # A9
    ratio=_NO_CLAMP,
    clip=_TRL.clip,
    kl=_K3,
    aggregation=_keywords(loss_type="bnpo", count_empty=True),  # 0.18's default
    overlong_filter=_keywords(count_empty=True),
)

_NVLABS_VERL = Convention(
    name="nvlabs_verl",
    source="NVlabs/GDPO b080e63, the fork of verl (0.2 or older)",
    gae=_keywords(_GAE, masked="zero"),  # read padding values too: B21
    whiten=_WHITEN,
    value=_VERL.value,
    group_advantage=_VERL_GROUP,
    # A9; exactly two rewards, weights not implemented
    decoupled=_keywords(_VERL.decoupled, single_reward="error"),
    # Losses as in verl 0.2, whose eos_mask keywords the fork still uses: no clamp of
    # the ratio, no dual clip, no dynamic sampling, token mean per micro-batch
    ratio=_NO_CLAMP,
    clip=_CLIP,
    kl=_K3_CLAMP_10,
    aggregation=_keywords(loss_type="bnpo", count_empty=True),
)

# A2, B4: leave-one-out mean and std by default
_NEMO_GROUP = _keywords(_GROUP, eps=1e-6, baseline="leave_one_out")
_NEMO = Convention(
    name="nemo",
    source="NVIDIA-NeMo/RL 7ea279a",
    gae=_keywords(_GAE, lam=0.95),
    whiten=_WHITEN,
    value=_keywords(cliprange_value=None),
    group_advantage=_NEMO_GROUP,
    decoupled=_decoupled(_NEMO_GROUP, batch_eps=0.0, single_reward="error"),  # A9
    ratio=_NO_CLAMP,
    clip=_keywords(_CLIP, epsilon_high=0.2),
    cispo=_keywords(epsilon_high=1.2, epsilon=0.2),
    kl=_K3_CLAMP_20_10,
    aggregation=_TOKEN_MEAN,  # global valid tokens
    overlong_filter=_keywords(count_empty=False),  # A6
    overlong=_keywords(bounded=False),
    dynamic_sampling=_keywords(rule="std", keep_singletons=False),
)

# A2; a group of one is NaN there
_OPENRLHF_GROUP = _keywords(_GROUP, eps=1e-9, singleton="error")
_OPENRLHF = Convention(
    name="openrlhf",
    source="OpenRLHF 0.11.0 3c3be62",
    gae=_keywords(_GAE, masked="zero"),
    whiten=_keywords(_WHITEN, correction=0),  # clamps var at 1e-8
    value=_keywords(cliprange_value=0.5),
    group_advantage=_OPENRLHF_GROUP,
    leave_one_out=_leave_one_out(_OPENRLHF_GROUP),
    ratio=_CLAMP_20,
    clip=_keywords(_CLIP, epsilon_high=0.2),
    kl=_K3_CLAMP_10,
    aggregation=_TOKEN_MEAN,
    overlong=_keywords(bounded=True),  # times a penalty factor
    dynamic_sampling=_keywords(rule="open_interval", keep_singletons=False),
)

_ALL = (_PAPER, _TRL, _VERL, _NVLABS_TRL, _NVLABS_VERL, _NEMO, _OPENRLHF)
CONVENTIONS: Mapping[str, Convention] = MappingProxyType({x.name: x for x in _ALL})
"""Every convention by name."""
