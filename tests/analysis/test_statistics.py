"""Intervals over seeds: right equations, honest coverage, refused nonsense."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnotes.analysis.figures import plot_bands
from rlnotes.analysis.intervals import (
    Interval,
    interquartile_mean,
    mean_interval,
    stratified_bootstrap,
)
from rlnotes.analysis.statistics import (
    PairedDifference,
    at_equal,
    final_scores,
    is_share,
    metric_bands,
    paired_difference,
    score_intervals,
)
from rlnotes.records.reading import load_runs
from rlnotes.records.recording import RunRecorder
from rlnotes.records.run_folders import run_name

fast = settings(deadline=None, max_examples=25, derandomize=True)
# 97.5 % quantiles of Student's t, from the tables in any textbook
T_TABLE = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 30: 2.042}
LABELS = {"task": "addition", "policy": "tiny"}


def runs_table(series, algorithm="grpo", **labels):
    """A table like load_runs': {seed: values at steps 1, 2, …}."""
    rows = [
        {
            "run": f"{algorithm}_{labels}_seed{seed}",
            "algorithm": algorithm,
            **LABELS,
            **labels,
            "seed": seed,
            "step": step,
            "reward": value,
        }
        for seed, values in series.items()
        for step, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows)


def scores_table(scores, algorithm="grpo", **labels):
    """A table like final_scores': {seed: score}."""
    series = {seed: [score] for seed, score in scores.items()}
    return runs_table(series, algorithm, **labels).drop(columns="step")


def student_t(scores):
    half = T_TABLE[len(scores) - 1] * np.std(scores, ddof=1) / math.sqrt(len(scores))
    return np.mean(scores) - half, np.mean(scores) + half


# ---- the equations -----------------------------------------------------------------


def test_interquartile_mean_by_hand():
    assert interquartile_mean([9, 1, 3, 2, 100, -50, 4, 5]) == (2 + 3 + 4 + 5) / 4
    assert interquartile_mean([7, 1, 3, 2, 100]) == 4  # ⌊5/4⌋ = 1 off either end
    assert interquartile_mean([7, 1, 1]) == 3  # nothing to trim
    table = np.array([[0, 10], [1, 1], [2, 2], [90, 3]])
    np.testing.assert_array_equal(interquartile_mean(table, 0), [1.5, 2.5])
    np.testing.assert_array_equal(interquartile_mean(table, 1), [5, 1, 2, 46.5])
    assert interquartile_mean(table) == (1 + 2 + 2 + 3) / 4


@pytest.mark.parametrize(
    ("scores", "named"), [([], r"\(0,\)"), ([1, math.nan], "1 NaN")]
)
def test_interquartile_mean_does_not_trim_what_is_missing(scores, named):
    with pytest.raises(ValueError, match=f"scores .*{named}"):
        interquartile_mean(scores)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 31])
def test_the_mean_of_one_task_has_students_interval(n):
    scores = np.random.default_rng(n).normal(3, 2, n)
    found = stratified_bootstrap(scores)
    low, high = student_t(scores)
    assert found.estimate == scores.mean() and found.n == n
    assert found.low == pytest.approx(low, abs=0.03 * (high - low) / 2)
    assert found.high == pytest.approx(high, abs=0.03 * (high - low) / 2)


def test_percentiles_are_those_of_the_resampled_means():
    # Ten scores of 0 and ten of 1: the mean of a resample is Binomial(20, 1/2)/20.
    found = stratified_bootstrap([0, 1] * 10, method="percentile")
    assert (found.low, found.estimate, found.high) == (0.3, 0.5, 0.7)


def test_tasks_are_strata():
    """Tasks far apart add nothing: only the seeds within a task vary."""
    within = np.random.default_rng(0).normal(0, 1, (6, 2))
    near, far = (stratified_bootstrap(within + [0, gap]) for gap in (0, 1000))
    assert far.high - far.low == pytest.approx(near.high - near.low)
    assert far.estimate == pytest.approx(near.estimate + 500) and far.n == 12


def test_each_task_draws_its_own_seeds():
    """Two mirrored tasks: drawn together, every mean would be 0."""
    scores = np.array([-2.0, -1, 1, 2])
    mirrored = stratified_bootstrap(np.stack([scores, -scores], axis=1))
    # Welch: equal variances double the degrees of freedom, 2·(4 − 1) = 6
    half = 2.447 * math.sqrt(2 * scores.var(ddof=1) / 4) / 2
    assert mirrored.high == pytest.approx(half, rel=0.03)
    assert mirrored.low == pytest.approx(-half, rel=0.03)


def test_the_statistic_pools_all_tasks():
    scores = np.arange(12.0).reshape(4, 3) ** 2
    found = stratified_bootstrap(scores, interquartile_mean)
    assert found.estimate == interquartile_mean(scores)
    assert found.low < found.estimate < found.high


def test_the_statistic_is_that_of_each_resample():
    # The largest of 5 draws from 5: P(max ≤ 1) = (2/5)⁵ = .01, P(max ≤ 2) = .08.
    found = stratified_bootstrap([0, 1, 2, 3, 50], np.max, method="percentile")
    assert found == Interval(50, 2, 50, 5)


@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=8),
    st.integers(1, 9),
    st.integers(-99, 99),
    st.sampled_from(["t", "percentile"]),
    st.sampled_from([np.mean, interquartile_mean]),
)
@fast
def test_an_interval_moves_and_scales_with_its_scores(
    scores, scale, shift, method, statistic
):
    options = {"method": method, "resamples": 200}
    before = stratified_bootstrap(np.array(scores), statistic, **options)
    after = stratified_bootstrap(np.array(scores) * scale + shift, statistic, **options)
    for name in ("estimate", "low", "high"):
        want = getattr(before, name) * scale + shift
        assert getattr(after, name) == pytest.approx(want, abs=1e-6)
    if method == "t":
        assert before.low <= before.estimate <= before.high
    else:
        assert min(scores) <= before.low <= before.high <= max(scores)


def test_same_scores_same_interval_and_another_seed_another():
    scores = [0.1, 0.5, 0.7, 0.2, 0.9]
    assert stratified_bootstrap(scores) == stratified_bootstrap(scores, seed=0)
    other = stratified_bootstrap(scores, seed=1)
    assert other != stratified_bootstrap(scores)
    assert other.low == pytest.approx(stratified_bootstrap(scores).low, rel=0.03)


def test_equal_scores_have_an_interval_of_no_width():
    assert stratified_bootstrap([0.5] * 5) == Interval(0.5, 0.5, 0.5, 5)


# ---- coverage: the table of the module's docstring ---------------------------------


def coverage(draw, truth, **options):
    rng = np.random.default_rng(0)
    intervals = [
        stratified_bootstrap(draw(rng), resamples=500, **options) for _ in range(1500)
    ]
    return np.mean([x.low <= truth <= x.high for x in intervals])


def test_five_normal_seeds_are_covered_by_t_and_not_by_percentiles():
    """Standard error of a share of 1,500: 0.006 at .95, 0.009 at .84."""

    def draw(rng):
        return rng.normal(size=5)

    assert coverage(draw, 0) == pytest.approx(0.95, abs=0.02)
    assert coverage(draw, 0, method="percentile") == pytest.approx(0.84, abs=0.03)


def test_tasks_of_unequal_spread_are_covered():
    def draw(rng):
        return rng.normal(size=(4, 3)) * [1, 2, 4] + [0, 10, 20]

    assert coverage(draw, 10) == pytest.approx(0.95, abs=0.025)


def test_five_skewed_seeds_undercover():
    assert 0.84 < coverage(lambda rng: rng.exponential(size=5), 1) < 0.92


# ---- from runs to scores, intervals, bands -----------------------------------------


def test_final_scores_are_means_of_the_last_logged_values():
    nan = math.nan
    table = runs_table({0: [9, 1, nan, 3, nan], 1: [0, 0, 0, 4, 6]})
    finals = final_scores(table, "reward", last=2)
    labels = ["run", "algorithm", "task", "policy", "seed"]
    assert list(finals.columns) == [*labels, "reward"]
    assert finals["reward"].tolist() == [2, 5]
    assert finals["seed"].tolist() == [0, 1]
    shuffled = table.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(final_scores(shuffled, "reward", last=2), finals)
    assert final_scores(table, "reward", last=1)["reward"].tolist() == [3, 6]
    six = runs_table({0: [7, 1, 2, 3, 4, 5]})
    assert final_scores(six, "reward")["reward"].tolist() == [3]  # the last five
    with pytest.raises(ValueError, match="last=4 but run 'grpo_.*seed0'.* 3 times"):
        final_scores(table, "reward", last=4)


def test_real_runs_become_scores_even_without_a_policy(tmp_path):
    for seed in range(2):
        config = {"algorithm": "grpo", "task": "addition", "policy": "p", "seed": seed}
        folder = tmp_path / run_name(config)
        config["policy"] = None
        with RunRecorder(folder, config, command="rlnotes train") as run:
            run.log(1, {"reward": seed})
            run.log(2, {"reward": seed + 1.0})
    runs = load_runs(tmp_path)
    finals = final_scores(runs, "reward", last=2)
    assert finals["reward"].tolist() == [0.5, 1.5]
    (row,) = score_intervals(finals, "reward").to_dict("records")
    assert (row["estimate"], row["n"]) == (1, 2) and row["low"] < 0.5
    assert metric_bands(runs, "reward")["estimate"].tolist() == [0.5, 1.5]


def test_score_intervals_are_those_of_each_group():
    scores = {"grpo": [0.1, 0.3, 0.2], "dapo": [0.5, 0.9, 0.4]}
    table = pd.concat(
        [scores_table(dict(enumerate(x)), name) for name, x in scores.items()]
    )
    found = score_intervals(table, "reward", by=["algorithm"])
    assert list(found.columns) == ["algorithm", "estimate", "low", "high", "n"]
    assert found["algorithm"].tolist() == ["dapo", "grpo"]
    for row in found.itertuples():
        want = stratified_bootstrap(scores[row.algorithm])
        assert Interval(row.estimate, row.low, row.high, row.n) == want
    shuffled = table.sample(frac=1, random_state=1)
    again = score_intervals(shuffled, "reward", by=["algorithm"])
    pd.testing.assert_frame_equal(again, found)
    trimmed = score_intervals(table, "reward", statistic=lambda x, axis: x.max(axis))
    assert trimmed["estimate"].tolist() == [0.9, 0.3]


def test_what_is_not_in_by_is_a_stratum():
    scores = np.array([[0.1, 5.2], [0.3, 5.1], [0.2, 5.9]])
    columns = [
        scores_table(dict(enumerate(scores[:, 0])), task="addition"),
        scores_table(dict(enumerate(scores[:, 1])), task="countdown"),
    ]
    found = score_intervals(pd.concat(columns), "reward", by=["algorithm"])
    want = stratified_bootstrap(scores)
    assert Interval(*found.iloc[0, 1:].tolist()) == want


def test_one_seed_has_an_estimate_and_no_interval():
    (row,) = score_intervals(scores_table({0: 0.5}), "reward").to_dict("records")
    assert row["estimate"] == 0.5 and row["n"] == 1
    assert math.isnan(row["low"]) and math.isnan(row["high"])


def test_bands_have_one_row_for_each_step_that_logged_the_metric():
    nan = math.nan
    table = runs_table({0: [0.1, nan, 0.5], 1: [0.3, nan, 0.6], 2: [0.2]})
    band = metric_bands(table, "reward")
    assert list(band.columns) == [
        *("algorithm", "task", "policy", "step"),
        *("estimate", "low", "high", "n"),
    ]
    assert band["step"].tolist() == [1, 3] and band["n"].tolist() == [3, 2]
    first = stratified_bootstrap([0.1, 0.3, 0.2])
    assert band.loc[0, ["estimate", "low", "high"]].tolist() == [
        first.estimate,
        first.low,
        first.high,
    ]
    best = metric_bands(table, "reward", by=(), statistic=lambda x, axis: x.max(axis))
    assert best["estimate"].tolist() == [0.3, 0.6] and list(best)[0] == "step"


# ---- paired differences ------------------------------------------------------------


def two_algorithms(first, second, **labels):
    return pd.concat(
        [scores_table(first, "dapo", **labels), scores_table(second, "grpo", **labels)]
    )


def test_pairs_are_of_one_seed():
    first, second = {0: 1.1, 1: 2.3, 2: 3.0, 3: 4.0}, {3: 4.5, 2: 3.0, 1: 2.0, 0: 1.0}
    found = paired_difference(two_algorithms(first, second), "reward", "dapo", "grpo")
    differences = [first[seed] - second[seed] for seed in first]
    assert found.interval == stratified_bootstrap(differences)
    assert (found.first_higher, found.second_higher, found.interval.n) == (2, 1, 4)
    other = paired_difference(two_algorithms(first, second), "reward", "grpo", "dapo")
    assert other.interval.estimate == pytest.approx(-found.interval.estimate)
    assert (other.first_higher, other.second_higher) == (1, 2)


def test_pairs_are_of_one_task():
    tables = [
        two_algorithms({0: 1.0, 1: 2.0}, {0: 0.0, 1: 1.5}, task="addition"),
        two_algorithms({0: 9.0, 1: 8.0}, {0: 9.5, 1: 8.0}, task="countdown"),
    ]
    found = paired_difference(pd.concat(tables), "reward", "dapo", "grpo")
    assert found.interval == stratified_bootstrap([[1.0, -0.5], [0.5, 0.0]])
    assert (found.first_higher, found.second_higher, found.interval.n) == (2, 1, 4)


def test_a_seed_without_a_partner_is_refused():
    table = two_algorithms({0: 1.0, 1: 2.0}, {1: 1.0, 2: 0.0})
    with pytest.raises(ValueError, match="partner: .*'tiny', 0.*'tiny', 2") as error:
        paired_difference(table, "reward", "dapo", "grpo")
    assert "1)" not in str(error.value)


# ---- how they print ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.812, 0.784, 0.841, 5), "0.81 [0.78, 0.84]"),
        (Interval(0.00312, 0.00291, 0.00332, 5), "0.0031 [0.0029, 0.0033]"),
        (Interval(41.0, 22.0, 60.0, 5), "41.00 [22.00, 60.00]"),
        (Interval(0.5, 0.5, 0.5, 5), "0.50 [0.50, 0.50]"),
        (Interval(0.5, 0.5, 0.5 + 1e-15, 5), "0.500000 [0.500000, 0.500000]"),
        (Interval(0.5, math.nan, math.nan, 1), "0.50 [nan, nan]"),
        (Interval(-0.004, -0.02, 0.01, 5), "0.00 [-0.02, 0.01]"),
    ],
)
def test_an_interval_prints_short(interval, text):
    assert str(interval) == text


def test_a_difference_prints_its_pairs():
    interval = Interval(0.05, 0.01, 0.09, 6)
    text = "dapo − grpo: 0.05 [0.01, 0.09], 6 pairs: 4 higher, 1 lower"
    assert str(PairedDifference("dapo", "grpo", interval, 4, 1)) == text


# ---- refusals ----------------------------------------------------------------------

RAGGED = pd.concat(
    [
        scores_table({0: 1.0, 1: 2.0}, task="addition"),
        scores_table({0: 1.0}, task="countdown"),
    ]
)
PAIR = two_algorithms({0: 1.0, 1: 2.0}, {0: 1.0, 1: 0.0})
TWO_STEPS = runs_table({0: [1.0, 2.0], 1: [1.0, 2.0]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stratified_bootstrap([0.5]), r"scores .*two seeds.*\(1,\)"),
        (lambda: stratified_bootstrap(np.zeros((3, 0))), r"scores .*\(3, 0\)"),
        (lambda: stratified_bootstrap(np.zeros((3, 2, 2))), r"scores .*\(3, 2, 2\)"),
        (lambda: stratified_bootstrap([1, math.nan, math.inf]), "scores .*got 2"),
        (lambda: stratified_bootstrap([1, 2], method="bca"), "method .*'t'.*'bca'"),
        (lambda: stratified_bootstrap([1, 2], resamples=99), "resamples .*100.*99"),
        (lambda: final_scores(TWO_STEPS, "kl"), r"runs .*columns \['kl'\]"),
        (lambda: final_scores(TWO_STEPS, "reward", last=0), "last must be 1.*got 0"),
        (
            lambda: final_scores(pd.concat([TWO_STEPS] * 2), "reward", last=1),
            "runs must have one row for each of .*'step'",
        ),
        (lambda: score_intervals(PAIR, "kl"), r"scores .*columns \['kl'\]"),
        (lambda: score_intervals(PAIR, "reward", by=[]), "by must name"),
        (lambda: score_intervals(PAIR, "reward", by=["lr"]), r"columns \['lr'\]"),
        (
            lambda: score_intervals(pd.concat([PAIR] * 2), "reward"),
            "scores must have one row .*'tiny', 0",
        ),
        (
            lambda: score_intervals(RAGGED, "reward", by=["algorithm"]),
            "same number of seeds.*countdown",
        ),
        (
            lambda: score_intervals(PAIR.assign(reward=math.nan), "reward"),
            "scores must be finite",
        ),
        (lambda: metric_bands(TWO_STEPS, "kl"), r"runs .*columns \['kl'\]"),
        (lambda: metric_bands(PAIR, "reward"), r"runs .*columns \['step'\]"),
        (
            lambda: paired_difference(PAIR, "reward", "dapo", "ppo"),
            r"no algorithm 'ppo', it has \['dapo', 'grpo'\]",
        ),
        (
            lambda: paired_difference(pd.concat([PAIR] * 2), "reward", "dapo", "grpo"),
            "scores must have one row",
        ),
        (lambda: paired_difference(PAIR, "kl", "dapo", "grpo"), r"columns \['kl'\]"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_runs_are_read_off_at_equal_samples():
    runs = runs_table({0: [0.0, 1.0, 3.0], 1: [0.0, 2.0, 2.0]})
    # seed 1 pays twice the samples a step: (2, 4, 6) against (1, 2, 3) hundred
    runs["num_completions"] = runs["step"] * 100.0 * (1 + runs["seed"])
    table = at_equal(runs, "reward", "num_completions", [200.0, 300.0])
    read = table.set_index(["seed", "step"])["reward"]
    assert read[0, 200.0] == 1.0 and read[0, 300.0] == 3.0
    assert read[1, 200.0] == 0.0 and read[1, 300.0] == 1.0  # half way to step 2
    assert metric_bands(table, "reward")["estimate"].tolist() == [0.5, 2.0]
    for grid in ([200.0, 301.0], [199.0, 300.0]):
        with pytest.raises(ValueError, match="grid: .* not within 'num_completions'"):
            at_equal(runs, "reward", "num_completions", grid)


def test_the_interval_of_a_share_stays_where_its_mean_can_be():
    scores = [0.99, 1.0, 0.95, 1.0, 0.5]
    whole = stratified_bootstrap(scores)
    inside = whole.within(0, 1)
    assert whole.high > 1 == inside.high
    assert (inside.low, inside.estimate, inside.n) == (whole.low, whole.estimate, 5)
    lone = mean_interval([0.5]).within(0, 1)
    assert math.isnan(lone.low) and math.isnan(lone.high)


@pytest.mark.parametrize(
    ("metric", "share"),
    [
        ("eval/sampled_accuracy", True),
        ("eval/pass@4", True),
        ("clip_ratio/high_mean", True),
        ("eval/search/hits_recognized", True),
        ("search-easy", True),
        ("entropy", False),
        ("reward", False),
        ("eval/search/waits", False),
        ("completions/mean_length_right", False),
        ("knows a hit", False),
    ],
)
def test_a_share_is_known_by_its_name(metric, share):
    assert is_share(metric) is share


@pytest.mark.parametrize(
    ("key", "ends"),
    [("eval/sampled_accuracy", (0, 1)), ("kl", (0.7 - 1.2706, 0.7 + 1.2706))],
)
def test_a_band_is_student_s_interval_of_the_smoothed_runs(key, ends):
    """At step 0 the seeds have 0.6 and 0.8: 0.7 ± t(1)·0.1, cut where it is a share."""
    values = {0: (0.6, 0.8), 1: (0.8, 0.9)}
    rows = [(seed, step, v[step]) for seed, v in values.items() for step in (0, 1)]
    runs = pd.DataFrame(rows, columns=["seed", "step", key]).assign(algorithm="dr_grpo")
    figure = plot_bands(runs, [key], smooth=2, columns=1, x="num_completions")
    axes, (legend,) = figure.axes[0], figure.legends
    assert axes.get_legend() is None, "it would lie on the curves"
    assert [text.get_text() for text in legend.texts] == ["Dr. GRPO (2 seeds)"]
    assert axes.get_xlabel() == "completions sampled so far (mean of 2)"
    assert axes.lines[0].get_ydata() == pytest.approx([0.7, 0.775])
    assert axes.lines[0].get_linestyle() == "--"
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx(ends, abs=1e-3)
