"""float32 or bfloat16: measured once, decided by the rule, said where it costs."""

import dataclasses

import pytest
import torch

from rlnotes.machine import rates as measured
from rlnotes.training.config import make_config


@pytest.fixture
def rates(monkeypatch):
    """Pretend rates, in place of a measurement."""
    found = {"float32": 100.0, "bfloat16": 100.0}
    monkeypatch.setattr(measured, "product_rates", lambda device="cpu": found)
    measured.say_what_bfloat16_costs.cache_clear()
    yield found
    measured.say_what_bfloat16_costs.cache_clear()


@pytest.mark.parametrize(
    ("bfloat16", "pays"), [(2.0, False), (100.0, False), (119.9, False), (120.0, True)]
)
def test_bfloat16_is_taken_where_it_is_a_fifth_faster(rates, bfloat16, pays):
    rates["bfloat16"] = bfloat16
    assert measured.bfloat16_pays("cpu") is pays
    assert make_config().bf16 is None
    assert make_config().settled("cpu").bf16 is pays


def test_what_the_config_says_is_not_measured_away(rates):
    rates["bfloat16"] = 1000.0
    assert make_config(bf16=False).settled("cpu").bf16 is False
    rates["bfloat16"] = 1.0
    assert make_config(bf16=True).settled("cpu").bf16 is True


def test_settling_changes_nothing_else_and_is_final(rates):
    config = make_config(seed=3)
    settled = config.settled("cpu")
    assert dataclasses.replace(settled, bf16=None) == config
    assert settled.settled("cpu") is settled


def test_one_line_says_what_bfloat16_costs_once_a_process(rates, capsys):
    rates["bfloat16"] = 5.0
    for _ in range(2):
        make_config(bf16=True).settled("cpu")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "takes 20.0 times as long" in said
    assert "bf16=true" in said and "bf16=false" in said


def test_nothing_is_said_where_bfloat16_is_no_slower(rates, capsys):
    make_config(bf16=True).settled("cpu")
    assert capsys.readouterr().err == ""


def test_the_rates_are_of_real_products_and_known_once():
    threads = torch.get_num_threads()
    rates = measured.product_rates("cpu")
    assert torch.get_num_threads() == threads
    assert list(rates) == ["float32", "bfloat16"]
    assert all(1e-2 < rate < 1e5 for rate in rates.values())
    assert measured.product_rates("cpu") is rates


def test_the_product_that_is_timed_is_the_one_asked_for(monkeypatch):
    """2·m·k·n operations in the best of the seconds."""
    shapes = []

    def timed(a, b):
        shapes.append((a.dtype, a.shape, b.shape))
        return [0.25, 0.5]

    monkeypatch.setattr(measured, "_timed_products", timed)
    rates = measured.product_rates.__wrapped__("cpu")
    assert shapes == [
        (dtype, (256, 576), (576, 1536)) for dtype in (torch.float32, torch.bfloat16)
    ]
    expected = 2 * 256 * 576 * 1536 / 0.25 / 1e9
    assert rates == pytest.approx({"float32": expected, "bfloat16": expected})


@pytest.mark.parametrize(
    ("rate", "steps"), [(400.0, 25), (80.0, 25), (79.0, 24), (45.0, 14), (1.0, 2)]
)
def test_a_slower_machine_makes_fewer_live_steps(rates, rate, steps):
    rates.update(float32=rate, bfloat16=rate / 20)
    assert measured.live_steps(25) == steps
    rates.update(float32=rate / 20, bfloat16=rate)
    assert measured.live_steps(25) == steps
    assert measured.live_steps(1) == 1


def test_the_processor_s_own_seconds_are_counted(monkeypatch):
    """Time that other processes take away from this one is no slowness of a product."""
    wall, own = iter(range(0, 10**6, 100)), iter(x * 0.005 for x in range(10**6))
    monkeypatch.setattr("time.perf_counter", lambda: next(wall))
    monkeypatch.setattr("time.thread_time", lambda: next(own))
    a = torch.ones(2, 2)
    assert measured._timed_products(a, a) == pytest.approx([0.005] * 4)
