"""What no run could mean is refused where the config is made, by the field's name."""

import math

import pytest

from rlnotes.training.config import DEFAULTS, make_config


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name", [x for x, value in DEFAULTS.items() if isinstance(value, float)]
)
def test_a_number_must_be_one(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be finite, got"):
        make_config(**{name: value})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"reward_weights": [math.nan]},
            r"reward_weights must be finite, got \(nan,\)",
        ),
        ({"epsilon_high": math.nan}, "epsilon_high must be finite"),
        ({"delta": math.inf}, "delta must be finite"),
        ({"max_minutes": math.nan}, "max_minutes must be finite"),
        ({"epsilon_high": -1.0}, "epsilon_high must be >= 0 or None, got -1.0"),
        ({"delta": -1.0}, r"delta must be > 1 \+ epsilon_high = 1\.2 or None, got -1"),
        ({"delta": 1.28, "epsilon_high": 0.28}, r"epsilon_high = 1\.28 or None"),
        ({"cliprange_value": -1.0}, "cliprange_value must be > 0 or None, got -1.0"),
        ({"cliprange_value": 0.0}, "cliprange_value must be > 0 or None, got 0.0"),
        ({"vf_coef": -0.5}, "vf_coef must be >= 0, got -0.5"),
        ({"max_resample_times": -1}, "max_resample_times must be >= 0, got -1"),
        ({"soft_punish_cache": -1}, "soft_punish_cache must be >= 0, got -1"),
    ],
)
def test_a_value_that_no_objective_takes(fields, said):
    with pytest.raises(ValueError, match=said):
        make_config(**fields)


def test_what_is_at_the_edge_is_taken():
    config = make_config(delta=1.3, epsilon_high=0.28, vf_coef=0.0, epsilon=1e-9)
    assert (config.delta, config.vf_coef) == (1.3, 0.0)
    assert make_config(reward_weights=[-1.0]).reward_weights == (-1.0,)
