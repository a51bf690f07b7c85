"""The demonstrator, the tokenizer and the pretraining of the search lab."""

import random

import pytest
import torch

from rlnotes.policies.policy import load_policy
from rlnotes.supervised.search_card import make_pretraining, pretrain_to_folder
from rlnotes.supervised.search_pretraining import (
    Pretraining,
    demonstrate,
    demonstration_ids,
    pretrain,
    search_tokenizer,
)
from rlnotes.tasks.search import SEARCH_TASKS
from rlnotes.tasks.search_traces import analyze, trace_rates

SMALL = {
    "steps": 3,
    "batch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
SEARCH = SEARCH_TASKS["search"]


def demonstrations(count=4000, **settings):
    rng = random.Random(0)
    lesson = settings.pop("in_lesson", False)
    tasks = SEARCH.sample(count, seed=9, step=0)
    chosen = Pretraining(**settings)
    texts = [demonstrate(task, rng, chosen, lesson=lesson) for task in tasks]
    return texts, [analyze(x, task) for x, task in zip(texts, tasks, strict=True)]


def test_a_demonstrator_computes_well_answers_hits_and_gives_up_half_its_misses():
    _, traces = demonstrations()
    rates = trace_rates(traces)
    assert rates["arithmetic"] == rates["hits_recognized"] == 1.0
    assert rates["malformed"] == 0.0
    # three standard errors of a share of some 5,000 misses
    assert rates["misses_retried"] == pytest.approx(0.5, abs=0.022)
    assert max(trace.tries for trace in traces) <= 8


def test_the_control_answers_a_hit_no_more_often_than_a_miss():
    _, traces = demonstrations(recognize=False)
    rates = trace_rates(traces)
    assert rates["hits_recognized"] == pytest.approx(0.5, abs=0.06)
    assert rates["misses_retried"] == pytest.approx(0.5, abs=0.022)


def test_in_the_lesson_some_tries_are_informed():
    _, traces = demonstrations(in_lesson=True)
    rates = trace_rates(traces)
    assert rates["hits_recognized"] == 1.0
    # a try hits when informed (1/2) or by chance (.16 of the rest): h = .58; with a
    # coin after each miss h / (1 − (1 − h) / 2) is solved
    assert rates["solved"] == pytest.approx(0.58 / 0.79, abs=0.03)
    assert trace_rates(demonstrations()[1])["solved"] < 0.35
    assert trace_rates(demonstrations(in_lesson=True, informed=1.0)[1])["solved"] == 1


def test_a_second_language_is_mixed_into_its_share_of_responses():
    texts, _ = demonstrations(second_language=0.4)
    foreign = sum("等" in text or "答" in text for text in texts) / len(texts)
    # a response has at least one word and each is foreign half the time
    assert 0.2 < foreign < 0.4
    assert not any("答" in text for text in demonstrations()[0])


def test_every_word_is_one_token_and_comes_back():
    tokenizer = search_tokenizer()
    text = "make 20 from 5 6 9 : 5 + 6 = 11 + 9 = 20 ? 20 wait 等 answer 答 - * 0 99"
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text.split()) == len(tokenizer.tokenize(text))
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id not in ids
    assert tokenizer("100")["input_ids"] == [tokenizer.unk_token_id]
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_lesson_ends_and_held_out_numbers_never_occur():
    settings = Pretraining(batch_size=400, levels={"search": 1.0}, informed=1.0)
    vocabulary = search_tokenizer().get_vocab()
    words = {index: word for word, index in vocabulary.items()}
    held_out = {tuple(q.columns["numbers"]) for q in SEARCH.held_out()}
    solved = []
    for step in (0, settings.steps - 1):
        scores = []
        for ids, prompt in demonstration_ids(settings, step, vocabulary):
            text = [words[i] for i in ids]
            numbers = [int(word) for word in text[3:6]]
            assert tuple(numbers) not in held_out
            task = SEARCH.task(numbers, int(text[1]))
            assert text[:prompt] == task.prompt.split() and text[-1] == "<eos>"
            scores.append(SEARCH.verify(" ".join(text[prompt:-1]), task))
        solved.append(sum(scores) / len(scores))
    assert solved[0] == 1.0 and solved[1] < 0.4


def test_pretraining_learns_is_seeded_and_leaves_the_random_state_alone():
    settings = Pretraining(**SMALL | {"steps": 12, "batch_size": 16})
    before = torch.get_rng_state()
    first = pretrain(settings, progress=False).model.state_dict()
    assert torch.equal(before, torch.get_rng_state())
    again = pretrain(settings, progress=False).model.state_dict()
    other = pretrain(make_pretraining({**SMALL, "seed": 1}), progress=False)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(
        torch.equal(first[key], value)
        for key, value in other.model.state_dict().items()
    )


def test_a_checkpoint_loads_and_its_card_says_what_it_is(tmp_path):
    folder = tmp_path / "small"
    pretrain_to_folder(make_pretraining({**SMALL, "name": "small"}), folder)
    policy = load_policy(str(folder))
    card = (folder / "README.md").read_text()
    assert f"{policy.num_parameters:,} weights" in card
    assert "hits_recognized" in card and "hidden_size: 16" in card
    with pytest.raises(FileExistsError, match="already in"):
        pretrain_to_folder(make_pretraining(SMALL), folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"retry": 1.5}, "retry"),
        ({"informed": -0.1}, "informed"),
        ({"lesson": 2}, "lesson"),
        ({"max_tries": 0}, "max_tries"),
        ({"levels": {"searching": 1}}, "levels.*'search'"),
        ({"levels": {"search": 0.0}}, "levels"),
        ({"levels": "search"}, "levels must map"),
        ({"step": 3}, "parameter.*step"),
        ({"hidden_size": "wide"}, "hidden_size must be int"),
    ],
)
def test_bad_settings_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        make_pretraining(values)
