# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · R1's pipeline, and what to distill
#
# question → rollouts → rewards → advantages → objective → update → **record → figure**
#
# R1-Zero reasons well and is hard to read. DeepSeek-R1 alternates reinforcement learning with supervised learning to keep the first and repair the second, and its answers then teach
# smaller models. This page runs one stage, reads all of them, and asks what distillation is worth.
#
# You will be able to
#
# * draw R1's pipeline, and say which arrow carries weights and which carries data,
# * write the loss of supervised fine-tuning (SFT), and say how it differs from a policy gradient,
# * read all of R1's stages with intervals over seeds,
# * weigh distillation against RL on one axis of compute, with an honest control.
#
# **Reading:** about 32 minutes. **Running:** about 30 seconds. **Paper:** [DeepSeek-R1](https://arxiv.org/abs/2501.12948); *v1* is the text of January 2025, *v2* that of
# January 2026. **Builds on:** [05 R1-Zero](05_r1_zero.ipynb). **Next:** [07 The aha moment](07_aha_moment.ipynb).

# %% tags=["parameters"]
sft_prompts = 192

# %%
import re

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import display

import rlnotes as rl
from rlnotes.analysis import figures, statistics
from rlnotes.supervised import curation
from rlnotes.teaching.drawings import draw_graph
from rlnotes.teaching.exercises import check_exercise
from rlnotes.teaching.r1_tables import claims_table, interval_table, read_stages

figures.use_style()
torch.manual_seed(0)
torch.set_num_threads(1)  # the policies are tiny
data = rl.project_folder() / "data"
stages = read_stages("r1_pipeline")


def compare(first, second, metric):
    return statistics.paired_difference(stages, metric, first, second)


# %% [markdown]
# ## The pipeline
#
# Solid arrows carry **weights**: training goes on from there. Dashed arrows carry **data**: answers of one policy from which another learns. Note that Dev1 and Dev3 both start again from the base.

# %% tags=["hide-input"]
boxes = {
    "base": (0.9, 1.8, "V3-Base", "frozen"),
    "zero": (3.4, 3.1, "R1-Zero", "learns"),
    "cold": (5.6, 3.1, "cold start: some thousand\nanswers, rewritten", "data"),
    "dev1": (5.6, 1.8, "Dev1", "learns"),
    "dev2": (7.9, 1.8, "Dev2", "learns"),
    "kept": (10.2, 1.8, "600k answers kept\n+ 200k other", "data"),
    "dev3": (7.9, 0.5, "Dev3", "learns"),
    "r1": (10.2, 0.5, "R1", "learns"),
    "pupils": (10.2, 3.1, "Qwen, Llama:\nthe distilled models", "learns"),
}
arrows = [("base", "zero", "-", "RL: rules"), ("base", "dev1", "-", "SFT")]
arrows += [("zero", "cold", "--", ""), ("cold", "dev1", "--", "")]
arrows += [("dev1", "dev2", "-", "RL: rules\n+ language"), ("dev2", "kept", "--", "")]
arrows += [("kept", "dev3", "--", ""), ("base", "dev3", "-", "SFT")]
arrows += [("dev3", "r1", "-", "RL: rules, language,\npreferences")]
arrows += [("kept", "pupils", "--", "SFT")]
_ = draw_graph(boxes, arrows, size=(11.4, 3.5))

# %% [markdown]
# People and DeepSeek-V3 rewrote R1's cold start; we rewrite ours by a rule, 等 → `wait`. Where preference models judge R1's answers, we have a reward for length, so our last stage says nothing
# about preferences:
#
# | stage | R1 | ours, from `search-mixed` |
# | --- | --- | --- |
# | R1-Zero | RL, rules | RL, accuracy |
# | Dev1 | SFT of the base on the cold start | SFT of the base on 64 answers, rewritten by rule |
# | Dev2 | RL, rules + language | RL, accuracy + language |
# | Dev3 | SFT of the base on 600k of Dev2's answers, kept, + 200k other | SFT of the base on right, readable, English answers of three sizes |
# | R1 | RL, rules, language, preferences | RL, accuracy + a length of at most 64 |
#
# <details><summary>On the slide</summary>
#
# **[Erratum 12](../docs/errata.md#erratum-12).** The slide "DeepSeek-R1, Simplified Pipeline" has no text at all, and the table of stages that belongs to it (v2, Table 3) is not in the deck.
#
# </details>

# %% [markdown]
# ## One SFT stage in code
#
# One samples several responses to a question, rejects some by rules, and learns what is left. This cell is the whole of *rejection sampling*, here on the untrained two-language base (in the pipeline it runs on `dev2`):

# %%
base, search = rl.load_policy("search-mixed"), rl.load_task("search")
asked = search.sample(sft_prompts, seed=0, step=0)
limits = {"num_generations": 4, "max_completion_length": 128}
replies = rl.sample_responses(base, search, asked, **limits)
rules = [curation.is_right, curation.is_readable, curation.is_english]
for count in range(len(rules) + 1):
    left = rl.reject(replies, *rules[:count])
    print(f"{len(left):4} {'sampled' if not count else rules[count - 1].__name__}")
lessons = rl.reject(replies, *rules, per_prompt=2)
print(f"{len(lessons):4} at most two of a question\n\n{lessons[0].example}")

# %% [markdown]
# ### The loss of supervised fine-tuning
#
# SFT makes the kept answers more probable. The prompt carries no loss:
#
# $$L_\text{SFT}(\theta) = -\,\mathbb E_{(q,\,o)\,\sim\,\text{data}}\Big[\frac{1}{|o|}\sum_{t=1}^{|o|} \log \pi_\theta(o_t \mid q, o_{<t})\Big]$$
#
# Put it beside the policy gradient of [00](00_first_step.ipynb): it is the same loss with every advantage set to 1, on answers that somebody *selected*. There is no negative example, and no answer is
# compared with another.


# %%
def answer_logps(policy, example):
    """log π of the completion's tokens and of its end, (|o|,)."""
    encode = policy.tokenizer
    prompt = encode(example["prompt"])["input_ids"]
    answer = encode(example["completion"])["input_ids"] + [encode.eos_token_id]
    ids = torch.tensor([prompt + answer])
    logps = policy.model(input_ids=ids).logits[:, :-1].log_softmax(-1)
    return logps.gather(2, ids[:, 1:, None])[0, len(prompt) - 1 :, 0]


examples = [lesson.example for lesson in lessons]
one = answer_logps(base, examples[0])[None]
as_policy_gradient = rl.policy_gradient_loss(one, torch.ones(1)).mean()
torch.testing.assert_close(-one.mean(), as_policy_gradient)
print("held: SFT's loss is the policy gradient's with every advantage 1")

# %% [markdown]
# `fine_tune` minimizes this loss by TRL's trainer with R1's schedule (two epochs, the rate falls by a cosine to a tenth), at our learning rate.


# %%
def describe(policy):
    """Held-out questions, four samples each; SFT's loss on the first 64 lessons."""
    found = rl.sample_responses(policy, search, search.held_out(), **limits)
    checks = {"right": lambda one: one.accuracy, "english": curation.is_english}
    checks |= {"readable": curation.is_readable, "tokens": lambda one: one.length}
    row = {name: sum(map(check, found)) / len(found) for name, check in checks.items()}
    with torch.no_grad():
        losses = [-answer_logps(policy, one).mean() for one in examples[:64]]
    return row | {"loss on its lessons": torch.stack(losses).mean().item()}


sizes = {"per_device_train_batch_size": 16, "progress": False}
pupil = rl.fine_tune(base.clone(), examples, **sizes)
pd.DataFrame({"base": describe(base), "after SFT": describe(pupil)}).round(2)

# %% [markdown]
# This is one seed and some hundred of its own answers, an illustration. Selection alone moves the policy to what was selected: more right answers and fewer Chinese words. No reward was maximized and no
# teacher was asked. The responses also become longer, and more of them repeat a try (*readable* falls, though every lesson was readable). A right answer is often one that retried, so the policy
# learns to retry.
#
# ## All stages, five seeds
#
# Mean and 95 % interval of each stage. A share lies in [0, 1], so its interval is cut there. The base is one policy for all seeds and has no interval over them, which is not certainty: its 0.26 is of
# 1,024 responses. Accuracy is that of held-out questions of three sizes, eight samples each; the other columns describe the responses to `search`. *Readable* is our rule that every try is well formed
# and none is made twice, and *short* is a response of at most 64 tokens.

# %% tags=["nbval-check-output"]
LEVELS = ["search-easy", "search", "search-hard"]
STAGES = ["zero", "dev1", "dev2", "dev3", "r1"]
order = ["base", *STAGES, "zero+language"]
for columns in (LEVELS, ["english", "readable", "short", "mean_length"]):
    print(interval_table(stages, columns).loc[order].to_string(), "\n")

# %% [markdown]
# The paper's stages follow as printed (v2, Table 3; scores in percent, Codeforces as percentile and rating). It gives no
# intervals and no seeds.

# %% tags=["nbval-check-output"]
paper = rl.paper_table("r1v2_table3")
benchmarks = ["AIME 2024", "MATH-500", "LiveCodeBench", "Codeforces"]
benchmarks += ["IF-Eval", "AlpacaEval2.0", "ArenaHard", "C-Eval"]
chosen = paper[paper["benchmark"].isin(benchmarks)]
wide = rl.wide_table(chosen, rows=("group", "benchmark", "metric"))
print(wide.set_axis(["R1-Zero", "Dev1", "Dev2", "Dev3", "R1"], axis=1).to_string())

# %% [markdown]
# The figure sets both side by side. The top row is what RL is paid for. The bottom row is form, which in the paper means
# following instructions and pleasing judges, and here means language, readability and length.

# %% tags=["hide-input"]
LAB = [LEVELS, ["english", "readable", "short"]]
PAPER = [["AIME 2024", "MATH-500", "LiveCodeBench"], benchmarks[4:7]]
SHOWN = {"search-easy": "two numbers", "search": "three numbers (trained)"}
SHOWN |= {"search-hard": "four numbers"}
figure, axes = plt.subplots(2, 2, figsize=(10, 4.4), sharex=True)
for row in (0, 1):
    for metric in LAB[row]:
        rows = statistics.score_intervals(stages, metric, by=["stage"])
        rows = rows.set_index("stage").loc[STAGES]
        error = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
        look = {"marker": "o", "capsize": 3, "label": SHOWN.get(metric, metric)}
        axes[row, 0].errorbar(STAGES, rows["estimate"], error, **look)
    for name in PAPER[row]:
        values = paper.loc[paper["benchmark"] == name, "value"]
        axes[row, 1].plot(STAGES, values / 100, "o-", label=name)
    for panel, who in zip(axes[row], ("the lab, five seeds", "R1, v2"), strict=True):
        panel.set(ylim=(0, 1.05), title=f"{who}: {('reasoning', 'form')[row]}")
        panel.set_ylabel("share" if panel is axes[1, 0] else "score")
        panel.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# **Where the shapes agree.** Dev1 gives up reasoning for form, because a cold start of few examples, from
# the base, cannot carry what RL had found (the paper: AIME 77.9 → 59.0). RL in Dev2
# brings it back. Dev3 is a *new* SFT of the base on some thousand of Dev2's answers, and it holds what RL reached: SFT can copy what RL finds. The last stage changes form (shorter, a trace more English)
# and leaves accuracy where it was.
#
# **Where they do not.** Our R1 does not reason better than our zero: the trained size was at its
# ceiling already. And `dev2`, after RL on one size, loses another size in some seeds:

# %% tags=["nbval-check-output"]
by_seed = stages.pivot(index="seed", columns="stage", values="search-easy")
print(by_seed[["zero", "dev2", "zero+language", "dev3", "r1"]].round(2).to_string())

# %% [markdown]
# On the *easier* questions some seeds fall below the cold start. We looked at seed 0 of `dev2`:
# asked to make 14 from 2 and 7 it writes `2 * 7 = 14 ? 14`, finds the answer, and then answers
# `* * * *`. It has forgotten how short an answer to two numbers is, and three-number questions never
# punish that. The mean over seeds hides it (the interval is merely wide), and so would a mean over benchmarks.
# Dev3 repairs it in every seed, because its lessons hold all three sizes. In R1 the
# 200,000 other examples have that part.

# %% [markdown]
# ## Dev2's reward for language
#
# R1's remedy for mixed languages (v2, §3; v1, §2.3.2) is a third rule, added directly to the others in the first
# RL stage:
#
# $$R_{\text{language}} = \frac{\#\,\text{words in the target language}}{\#\,\text{words}}$$
#
# For English and Chinese it takes six lines. A Chinese character counts as a word, while digits, signs, tags
# and LaTeX commands are neutral. A text without any word gets 0, or silence would pay.


# %%
def english_share(text):
    """Share of Latin words among Latin words and Chinese characters."""
    text = re.sub(r"</?(?:think|answer)>|\\[A-Za-z]+", " ", text)
    latin = re.findall(r"[a-zà-öø-ÿ]+(?:'[a-zà-öø-ÿ]+)*", text.lower())
    chinese = re.findall("[一-鿿]", text)
    words = len(latin) + len(chinese)
    return len(latin) / words if words else 0.0


# %% tags=["nbval-check-output"]
texts = [
    "5 + 6 = 11 ? 20 等 5 * 6 = 30 ? 20 wait then",
    "<think>so 答案 is 7</think> <answer>7</answer>",
    "donc la réponse est 7",
    r"\frac{1}{2} = 0.5",
    "",
]
ours = [english_share(text) for text in texts]
for text, share in zip(texts, ours, strict=True):
    print(f"{share:.2f}  {text}")
files = sorted((data / "experiments" / "r1_pipeline").glob("zero_seed*.jsonl"))
kept = pd.concat(pd.read_json(path, lines=True) for path in files)
sample = [*texts, *kept["completion"]]
library = rl.language_consistency_reward(completions=sample)
assert library == [english_share(text) for text in sample]
kept["share"] = library[len(texts) :]
print(f"held: ours = the library's, {len(sample)} texts")

# %% [markdown]
# Two limits show here. Script tells Chinese from English but not French from English. And the
# share is a *density*: a mixed response of twenty words with one foreign one scores 0.95, hardly
# less than a clean one. Does so small a difference reach the gradient? Once all answers of a
# group are right, it is the only difference left, and the division by the group's standard
# deviation makes it as large as any other (exercise r1-4 asks how large):

# %% tags=["nbval-check-output"]
accuracy, language = torch.ones(8), torch.tensor([0.95] + [1.0] * 7)
advantages = rl.group_relative_advantages(accuracy + language, 8)
print(
    f"all right, one of 20 words foreign: {advantages[0]:.2f}, others {advantages[1]:.2f}"
)
accuracy[1:5] = 0
advantages = rl.group_relative_advantages(accuracy + language, 8)
print(f"half right: {advantages[0]:.2f} beside {advantages[7]:.2f} for right and clean")

# %% [markdown]
# ### The ablation
#
# v2's Figure 7 removes this reward on a distilled 7B model: with it, language consistency stays
# level, mathematics is unchanged, code is slightly worse. Ours: `zero+language` is `zero` with
# the language reward and nothing else changed, the same seeds and questions. (Dashed: the language
# consistency of `zero`, from its kept responses.)

# %% tags=["hide-input"]
folders = [
    folder
    for stage in ("zero", "zero+language")
    for folder in sorted((data / "experiments" / "r1_pipeline").glob(f"seed*/{stage}"))
]
runs = rl.load_runs(folders)
colors = {"zero": "#0072B2", "zero+language": "#D55E00"}
keys = ["eval/sampled_accuracy", "eval/mean_length", "eval/entropy"]
keys += ["rewards/language_consistency_reward/mean"]
figure = figures.plot_bands(runs, keys, by="run", colors=colors, columns=2)
panel = figure.axes[-1]
panel.plot(kept.groupby("step")["share"].mean(), "--", color=colors["zero"])
figure.set_size_inches(8, 4.8)

# %% tags=["nbval-check-output"]
print("zero+language − zero")
names = {"english": "wholly English", "language_consistency": "language consistency"}
names |= {"readable": "readable (our rule)", "mean_length": "tokens"}
names |= {size: f"accuracy, {shown}" for size, shown in SHOWN.items()}
for metric, name in names.items():
    print(f"{name:33} {compare('zero+language', 'zero', metric).interval}")

# %% [markdown]
# With the reward hardly a response with a foreign word is left, in every seed. It
# costs time at first (at step 10 the bands of accuracy are apart) and little at the end:
# on the trained size the accuracy is lower by a hundredth, and the interval holds zero. The
# entropy falls at once, because the choice between two languages is gone. The paper reports the same:
# consistent language at hardly a price. On the two sizes that RL does not see the intervals are wide,
# because single seeds lose a lot, like those of `dev2` above.

# %% [markdown]
# ## What R1's performance table says
#
# **[Erratum 13](../docs/errata.md#erratum-13).** On the slide the column that groups the benchmarks has no header, the rows on
# architecture are shifted by a cell, and bold means "best of the row" (v1; in v2 it is a t-test at
# p < 0.01). With the groups back (v1, Table 4):

# %% tags=["nbval-check-output"]
table = rl.paper_table("r1v1_table4")
table = table[table["group"] != ""]
text = rl.wide_table(table, rows=("group", "benchmark", "metric"))
scores = text.apply(pd.to_numeric, errors="coerce")
extra = "OpenAI-|DeepSeek-|-Sonnet-1022|-0513"
short_names = {name: re.sub(extra, "", name) for name in text}
print(text.rename(columns=short_names).to_string())

# %% tags=["nbval-check-output"]
winners = scores.idxmax(axis=1)
groups = scores.index.get_level_values("group")
bold = table[table["bold"]].set_index(["group", "benchmark", "metric"])["model"]
assert (winners == bold.loc[winners.index]).all()  # bold is the best of its row
counts = pd.crosstab(groups, winners.to_numpy()).loc[groups.unique()]
print(counts.rename_axis(None).rename_axis(None, axis=1).T.to_string())
pair = scores[["DeepSeek-R1", "OpenAI-o1-1217"]].dropna()
ahead = (pair["DeepSeek-R1"] > pair["OpenAI-o1-1217"]).groupby(level=0, sort=False)
print("\nR1 ahead of o1-1217, where both are given:")
print(ahead.agg(["sum", "count"]).rename_axis(None).T.to_string())

# %% [markdown]
# Read the second count before the first. R1 is best in 12 of 21 rows, but o1-1217, the strongest
# rival, has a score in only part of them, and where both have one they are close to even. The
# gaps are single questions in places: AIME 2024 has 30, so 79.8 against 79.2 is 0.18 of a
# question, and no interval is given.

# %% [markdown]
# ## Distillation or RL?
#
# R1's 800,000 curated answers also teach small models, by SFT alone. First comes all of v1's Table 5. Below it stands all of Table 6, where
# one 32B base learned from R1's answers (*Distill*) or went through more than 10,000 steps of RL (*Zero*). The figure draws AIME over the size of the student.
#
# <details><summary>On the slide</summary>
#
# **[Erratum 14](../docs/errata.md#erratum-14):** the slides do not say that the students had SFT alone, nor on how many answers, nor how they were evaluated (temperature 0.6, 64 samples
# for AIME).
#
# </details>

# %%
table5, table6 = rl.paper_table("r1v1_table5"), rl.paper_table("r1v1_table6")
for table in (table5, table6):
    short = rl.wide_table(table).rename(index=lambda x: x.removeprefix("DeepSeek-R1-"))
    display(short)

# %% tags=["hide-input"]
students = table5[table5["model"].str.contains("Distill")].copy()
students["billions"] = students["model"].str.extract(r"-([\d.]+)B$")[0].astype(float)
students["family"] = students["model"].str.extract(r"-(Qwen|Llama)-")[0]
students = students[students["benchmark"] == "AIME 2024"]
figure, axes = plt.subplots(figsize=(8, 2.8))
for (metric, family), part in students.groupby(["metric", "family"]):
    style = "o-" if metric == "pass@1" else "s--"
    color = "#0072B2" if family == "Qwen" else "#D55E00"
    label = f"{family}, {metric}"
    axes.semilogx(part["billions"], part["value"], style, color=color, label=label)
o1_mini = table5.query("model == 'OpenAI-o1-mini' and benchmark == 'AIME 2024'")
axes.axhline(o1_mini["value"].iloc[0], color="#999999", lw=0.8, label="o1-mini, pass@1")
axes.set_xticks([1.5, 7, 14, 32, 70], ["1.5", "7", "14", "32", "70"])
axes.minorticks_off()
axes.set(xlabel="weights of the student, billions", ylabel="AIME 2024, %", ylim=(0, 95))
_ = axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# The paper's Table 6 leaves three questions open, and the lab can ask them: what does each side
# *cost*, does it matter what the student can do before, and is it the **teacher** or the
# **selection**? We train `search-teacher` (a larger policy) by RL, let it answer, keep
# what is right and readable, and teach two students 256, 1,024 and 4,096 answers: `search-base`, which knows a hit when it sees one, and `search-control`, which does not. The control
# experiment does the same with the student's *own* answers: same rules, no teacher.

# %% tags=["nbval-check-output"]
distilled = read_stages("distillation")
teacher = distilled[distilled["stage"] == "teacher"]
taught = distilled.dropna(subset=["student"]).copy()
alone = taught["student"] == taught["writer"]
taught["arm"] = alone.map({True: "own answers", False: "teacher's answers"})
taught["size"] = taught["stage"].str.extract(r"(\d+)$")[0].astype(int)
print(
    "teacher, after RL",
    interval_table(teacher, LEVELS).to_string(index=False),
    "",
    sep="\n",
)
for (student, arm), part in taught.groupby(["student", "arm"]):
    counts = part.groupby("size")["examples"].mean().round().astype(int).tolist()
    print(f"{student}, {arm}; examples, mean over seeds: {counts}")
    print(interval_table(part, LEVELS, by="size").rename_axis(None).to_string(), "\n")

# %% [markdown]
# ### On one axis of compute
#
# A weight does about 2 operations to each token that it samples and 6 to each that it learns. So
# RL costs 8 per token and weight, SFT 6, and the answers 2 per weight of whoever wrote them.
# A filled dot is the lesson with its answers. A hollow dot adds the teacher's own RL, paid once for all
# its students. The dashed line is the teacher.


# %%
def reinforced(student):
    """The recorded RL of a student: held-out accuracy over teraflops, all seeds."""
    runs = rl.load_runs(data / "runs" / f"grpo_search_{student}_seed*")
    weights = rl.load_policy(student).num_parameters
    return runs.assign(teraflops=8e-12 * weights * runs["num_tokens"])


def lessons_of(student, arm):
    """Accuracy and cost at each size of lesson."""
    part = taught[(taught["student"] == student) & (taught["arm"] == arm)]
    rows = statistics.score_intervals(part, "search", by=["size"])
    costs = part.groupby("size")[["teraflops", "teraflops_sampling"]].mean()
    return rows, costs.sum(axis=1).to_numpy()


# %% tags=["hide-input"]
arms = {"teacher's answers": "#D55E00", "own answers": "#009E73"}
figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), sharey=True)
for panel, student in zip(axes, ("search-base", "search-control"), strict=True):
    runs = reinforced(student)
    band = statistics.metric_bands(runs, "eval/sampled_accuracy").query("step > 0")
    x = runs.groupby("step")["teraflops"].mean().loc[band["step"]]
    panel.semilogx(x, band["estimate"], color="#0072B2", label="RL")
    panel.fill_between(x, band["low"], band["high"], color="#0072B2", alpha=0.15, lw=0)
    for arm, color in arms.items():
        rows, cost = lessons_of(student, arm)
        look = {"yerr": (rows["high"] - rows["low"]) / 2, "capsize": 3, "color": color}
        panel.errorbar(cost, rows["estimate"], marker="o", label=arm, **look)
        if arm.startswith("teacher"):
            whole, look = cost + teacher["teraflops"].mean(), look | {"ls": ":"}
            panel.errorbar(whole, rows["estimate"], marker="o", mfc="white", **look)
    panel.axhline(teacher["search"].mean(), color="#999999", lw=0.8, ls="--")
    panel.set(xlabel="teraflops", title=student, ylabel="held-out accuracy")
_ = axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% tags=["nbval-check-output"]
for student in ("search-base", "search-control"):
    spent = reinforced(student).groupby("seed")["teraflops"].max().mean()
    print(f"{student}: RL {spent:.2f} teraflops", end="")
    for arm in arms:
        print(f"; {arm} {lessons_of(student, arm)[1][-1]:.2f}", end="")
    print(f"; the teacher's RL {teacher['teraflops'].mean():.2f}")

# %% [markdown]
# The slide says "Distillation > RL". Here are the differences, paired by seed, at the largest lesson.
# RL stands there twice: at its end, and stopped where it has spent what that lesson costs (the
# teacher for free).


# %%
def all_ways(student, budget=None, size=4096):
    """Held-out accuracy of RL (up to a budget), of the teacher's and one's own answers."""
    runs, metric = reinforced(student), "eval/sampled_accuracy"
    if budget is not None:
        runs = statistics.at_equal(runs, metric, "teraflops", [budget])
    last = statistics.final_scores(runs, metric, last=1)
    rows = taught[(taught["student"] == student) & (taught["size"] == size)]
    accuracy = rows.set_index(["arm", "seed"])["search"]
    found = {"teacher": accuracy["teacher's answers"], "own": accuracy["own answers"]}
    found["RL"] = last.set_index("seed")[metric]
    table = pd.concat(found, names=["algorithm"]).rename("accuracy").reset_index()
    return table.assign(task="search", policy=student)


# %% tags=["nbval-check-output"]
ways, early = {}, {}
for student in ("search-base", "search-control"):
    table, budget = all_ways(student), lessons_of(student, "teacher's answers")[1][-1]
    for first, second in (("teacher", "RL"), ("own", "RL"), ("teacher", "own")):
        ways[student, first, second] = difference = statistics.paired_difference(
            table, "accuracy", first, second
        )
        print(f"{student:14} {difference}")
    early[student] = statistics.paired_difference(
        all_ways(student, budget), "accuracy", "teacher", "RL"
    )
    print(f"{student:14} {early[student]}, RL at {budget:.2f} teraflops\n")

# %% [markdown]
# **For the same compute, the slide's claim holds here.** Stopped where it has spent what the largest
# lesson costs, RL is far behind it, for both students: copying is cheap. Two things keep it from
# being the whole story.
#
# *RL goes on.* At its end it has caught up with the lesson on `search-base`, and passed it on
# `search-control`, which learns from a lesson what a good search looks like and from RL to change
# what it does. And a lesson is cheap only *if the teacher is there already*: with the
# teacher's own RL added, it costs twice as much as the RL of `search-base`.
#
# *It is mostly not the teacher.* The student's own selected answers bring it almost as far. On
# `search-base` five seeds show no difference. On `search-control` the teacher is ahead by two
# hundredths, with more lessons than the student found right answers by itself. What
# looks like distillation here is **selection**, one large round of rejection sampling.
#
# **Why not as in the paper?** A tempting answer is: because our students have no gap to close. It fits
# `search-base`, which reaches its teacher's level by RL alone (dashed line). It does not fit `search-control`:
# there the gap is largest (the student after RL solves 0.54, far below its teacher) and the teacher's lesson
# still brings less than RL does, 0.44. So a gap alone does not make distillation win. It may be that right
# answers show this student too little of how a hit is told from a miss, the fault that its pretraining left;
# we have not tested that, and two students cannot separate the causes. The paper's case is a 32B model that stays at 47.0 under RL where
# its teacher, twenty times as large, has 79.8 (v1, Tables 4 and 6). A case of the other kind stands in v2 of the paper (Table 17), where Qwen2-Math-7B under RL alone reaches 22.3 at AIME 2024, where its *instruct* sibling (another model, not the start of
# the run) has 7.9.
#
# The slides' second conclusion, "Advancing beyond the boundaries of intelligence may still
# require more powerful base models and larger-scale reinforcement learning", paraphrases v1
# (**[erratum 15](../docs/errata.md#erratum-15)**; v2 speaks of the boundary of *human* intelligence). A lab whose task has an
# exact ceiling cannot test it.

# %% [markdown]
# ## What usually goes wrong
#
# * **An SFT stage that "beats RL".** Ask what the same selection does without the teacher, and
#   what everything cost.
# * **A mean over benchmarks hides a loss.** Read the parts, and read them by seed.
# * **The students are compared with RL on another model.** Ask what the start of each run was.

# %% [markdown]
# ## The claims of these slides
#
# The rule of [05](05_r1_zero.ipynb): a verdict says what the 95 % interval over seeds says about our miniature, and nothing about the paper.

# %% tags=["nbval-check-output"]
rows = [
    ("a language reward makes it consistent", "level instead of falling (v2, Fig. 7)",
     compare("zero+language", "zero", "english"), +1),
    ("… at a cost in performance", "slight: code lower, mathematics level (v2, Fig. 7)",
     compare("zero+language", "zero", "search"), -1),
]  # fmt: skip
claims_table(rows)

# %% tags=["nbval-check-output"]
rows = [
    ("Dev1 reasons worse than R1-Zero", "AIME 77.9 → 59.0 (v2, Table 3)",
     compare("dev1", "zero", "search"), -1),
    ("Dev1 keeps to the form better", "IF-Eval 46.6 → 71.7 (v2, Table 3)",
     compare("dev1", "zero", "english"), +1),
    ("Dev2 recovers reasoning", "AIME 59.0 → 74.0 (v2, Table 3)",
     compare("dev2", "dev1", "search"), +1),
    ("Dev3 is broader: easier questions", "AlpacaEval 55.8 → 62.1 (v2, Table 3)",
     compare("dev3", "dev2", "search-easy"), +1),
    ("Dev3 is broader: harder questions", "as above",
     compare("dev3", "dev2", "search-hard"), +1),
    ("the last RL adds form (here: a length it is paid for)", "ArenaHard 75.6 → 92.3 (v2, Table 3)",
     compare("r1", "dev3", "short"), +1),
    ("R1 reasons better than R1-Zero", "AIME 77.9 → 79.8 (v2, Table 3)",
     compare("r1", "zero", "search"), +1),
]  # fmt: skip
claims_table(rows)

# %% tags=["nbval-check-output"]
rows = [
    ("distillation > RL: search-base", "AIME 72.6 against 47.0 (v1, Table 6)",
     ways["search-base", "teacher", "RL"], +1),
    ("distillation > RL: search-control", "as above",
     ways["search-control", "teacher", "RL"], +1),
    ("distillation > RL at equal compute, teacher free: search-base",
     "said, not measured (v1, §4.1)", early["search-base"], +1),
    ("the same: search-control", "as above", early["search-control"], +1),
    ("it is the teacher: search-base", "not asked",
     ways["search-base", "teacher", "own"], +1),
    ("it is the teacher: search-control", "not asked",
     ways["search-control", "teacher", "own"], +1),
]  # fmt: skip
claims_table(rows)

# %% [markdown]
# Two verdicts have one cause: RL on the base reaches the ceiling of the lab, so neither R1 nor a student has room above it. A miniature can show a mechanism at work. That it fails to show a gap says little
# about large models. *Not testable here:* R1 is on a par with o1-1217 (v1, Table 4: ahead in 5 of the 11 rows where both are given); preference rewards lift AlpacaEval by 25.5 points (v2, Table 3); the
# boundary of intelligence needs stronger bases and larger RL (v1, v2).

# %% [markdown]
# ## Exercises
#
# **r1-3. Rejection sampling.** From rows of 0/1 accuracies, cut-offs and English shares, groups of $G$ rows to a question: the indices of those that are right, ended by themselves and wholly English, at
# most `per_prompt` of a question.


# %%
def kept_rows(accuracies, truncated, english, num_generations, per_prompt):
    raise NotImplementedError


check_exercise("r1-3", kept_rows)

# %% [markdown]
# **r1-4. One foreign word.** All $G$ answers of a group have the same reward, but one has a little less, by any $d>0$. Which advantage does
# GRPO give it (standard deviation over $G-1$), and which do the others get? A tuple of the two.


# %%
def lone_advantages(num_generations):
    raise NotImplementedError


check_exercise("r1-4", lone_advantages)

# %% [markdown]
# <details><summary>Solutions</summary>
#
# ```python
# # r1-3
# def kept_rows(accuracies, truncated, english, num_generations, per_prompt):
#     kept, counts = [], {}
#     for row, right in enumerate(accuracies):
#         question = row // num_generations
#         good = right >= 1 and not truncated[row] and english[row] == 1
#         if good and counts.get(question, 0) < per_prompt:
#             counts[question] = counts.get(question, 0) + 1
#             kept.append(row)
#     return kept
# ```
#
# ```python
# # r1-4
# def lone_advantages(num_generations):
#     root = num_generations**0.5
#     return -(num_generations - 1) / root, 1 / root
# ```
#
# The mean is $d/G$ below the others and the standard deviation is $d/\sqrt{G}$, so $d$ cancels: a foreign word among a thousand is punished
# like one among two.
#
# </details>

# %% [markdown]
# **A small experiment of your own.** Leave one of the three rules out of the SFT stage (`sft_prompts` and `rules` are yours to change), and predict each row of the table before you run it.
#
# | question | your words |
# | --- | --- |
# | Which rule, and what do you predict for *right*, *english*, *readable* and *tokens*? | |
# | What did you see, over how many seeds? | |
# | Would the paper's 200,000 other examples have repaired it? | |

# %% [markdown]
# ## References
#
# * DeepSeek-AI, 2025, [*DeepSeek-R1*](https://arxiv.org/abs/2501.12948). v1: Tables 4, 5 and 6. v2: Tables 3 and 17, Figure 7, §3. Values and their sources: [`data/papers/SOURCES.md`](../data/papers/SOURCES.md).
# * The lab's runs: [`experiments/r1_pipeline.py`](../experiments/r1_pipeline.py), [`experiments/distillation.py`](../experiments/distillation.py).
#
# **Next:** [07 The aha moment](07_aha_moment.ipynb) counts reflection and asks what it is worth.
