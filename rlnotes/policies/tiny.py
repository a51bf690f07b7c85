"""A tiny policy from scratch in seconds: the base model of the notebooks' live runs."""

import random
from typing import Any, Protocol

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR
from tqdm import trange
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, EOS, UNKNOWN = "_", ";", "?"


class DemonstratedTask(Protocol):
    """A task that can write the data its base policy is pretrained on."""

    @property
    def characters(self) -> str:
        """Every character of its prompts and responses but the end character."""

    def demonstrations(
        self, rng: random.Random, *, noise: float
    ) -> list[tuple[str, str]]:
        """A batch of (prompt, response), each response closed by ";"."""


def tiny_tokenizer(characters: str) -> PreTrainedTokenizerFast:
    """Character-level tokenizer: pad "_" = 0, eos ";" = 1, unknown "?" = 2, then yours.

    Left padding; `decode` joins characters without blanks. Raises ValueError if
    `characters` is empty, repeats one, or contains one of the three special ones.
    """
    special = [PAD, EOS, UNKNOWN]
    if not characters or len({*special, *characters}) != 3 + len(characters):
        raise ValueError(
            f"characters: expected distinct ones without {''.join(special)!r}, "
            f"got {characters!r}"
        )
    vocabulary = {c: i for i, c in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return fast_tokenizer(tokenizer, pad=PAD, eos=EOS, unknown=UNKNOWN)


def fast_tokenizer(
    tokenizer: Tokenizer, *, pad: str, eos: str, unknown: str
) -> PreTrainedTokenizerFast:
    """A `tokenizers` tokenizer as transformers takes it; left padding."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=eos,
        unk_token=unknown,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def tiny_policy(
    task: DemonstratedTask,
    *,
    seed: int = 0,
    steps: int = 200,
    learning_rate: float = 5e-3,
    progress: bool = False,
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A small Llama pretrained on the task's noisy demonstrations: (model, tokenizer).

    min_θ −E[log π_θ(response | prompt)] by AdamW, gradient norm clipped at 1; the
    prompt is not trained on. Two layers, d = 64, 85 thousand parameters. A function
    of its arguments: the same seed gives the same weights on one machine, and the
    global random state is left alone. Raises ValueError unless steps ≥ 1.
    """
    if steps < 1:
        raise ValueError(f"steps: expected 1 or more, got {steps}")
    tokenizer = tiny_tokenizer(task.characters)
    rng = random.Random(f"demonstrations/{seed}")
    model = small_llama(
        tokenizer,
        seed,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.1,  # the usual 0.02 learns the sums many times slower
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = LambdaLR(optimizer, lambda step: _rate(step / steps))
    for step in trange(steps, desc="pretraining", disable=not progress):
        pairs = task.demonstrations(rng, noise=_noise(step / steps))
        loss = _demonstration_loss(model, tokenizer, pairs)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval(), tokenizer


def _rate(progress: float) -> float:
    """Share of the peak learning rate: up over 5 % of the steps, down over 50 %."""
    return min(1.0, 0.1 + 18 * progress, (1.02 - progress) / 0.5)


def _noise(progress: float) -> float:
    """Curriculum: 0 up to 15 % of the steps, 1/2 at 50 %, 1 from 70 % on.

    With the noise from the start the sums stay at chance for hundreds of steps;
    learnt clean first, they survive it.
    """
    if progress < 0.5:
        return max(0.0, (progress - 0.15) / 0.7)
    return min(1.0, 0.5 + (progress - 0.5) * 2.5)


def small_llama(
    tokenizer: PreTrainedTokenizerFast, seed: int, **sizes: Any
) -> LlamaForCausalLM:
    """An untrained Llama over the tokenizer's words; global random state left alone."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **sizes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def _demonstration_loss(
    model: Any, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]
) -> torch.Tensor:
    """Mean −log π(token) over the response tokens of a batch."""
    vocabulary = tokenizer.get_vocab()
    ids, labels = ids_and_labels(
        [
            ([vocabulary[c] for c in prompt + text], len(prompt))
            for prompt, text in pairs
        ]
    )
    logits = model(input_ids=ids).logits[:, :-1]
    return cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())


def ids_and_labels(
    rows: list[tuple[list[int], int]],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (N, T) of (ids, prompt length) and labels, −100 on prompts and padding.

    Padding is on the right, where causal attention never looks.
    """
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in rows])
    labels = torch.tensor(
        [
            [-100] * prompt + row[prompt:] + [-100] * (width - len(row))
            for row, prompt in rows
        ]
    )
    return ids, labels
