"""As many threads as free cores, unless a person says otherwise."""

import os

import pytest
import torch

from rlnotes.machine import free


@pytest.fixture
def clean(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(free, "available_cores", lambda: 4)


@pytest.mark.parametrize(
    ("idle", "expected"), [(0.0, 1), (1.4, 1), (1.6, 2), (3.9, 4), (9.0, 4)]
)
def test_idle_time_over_wall_time_is_what_is_free(monkeypatch, clean, idle, expected):
    """`idle` core-seconds pass in each second of the pretended clock."""
    now = iter((10.0, 12.0))
    count = iter((100.0, 100.0 + 2 * idle))
    monkeypatch.setattr(free, "_idle_seconds", lambda: next(count))
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert free.free_cores() == expected


def test_without_linux_the_load_is_taken_off(monkeypatch, clean, tmp_path):
    monkeypatch.setattr(free, "_STAT", tmp_path / "none")
    monkeypatch.setattr(os, "getloadavg", lambda: (2.7, 9.0, 9.0))
    assert free.free_cores() == 1
    monkeypatch.delattr(os, "getloadavg")  # Windows
    assert free.free_cores() == 4


def test_the_counter_is_linux_s_fourth_in_clock_ticks(monkeypatch, tmp_path):
    file = tmp_path / "stat"
    file.write_text("cpu  11 22 33 4400 55 66\ncpu0 1 2 3 4 5 6\n")
    monkeypatch.setattr(free, "_STAT", file)
    assert free._idle_seconds() == 4400 / os.sysconf("SC_CLK_TCK")


def test_a_busy_machine_gets_fewer_threads_and_says_so(monkeypatch, clean, capsys):
    monkeypatch.setattr(free, "free_cores", lambda: 1)
    before = torch.get_num_threads()
    free.use_free_cores()
    try:
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "1 of 4 cores free, so 1 thread;" in said and "OMP_NUM_THREADS=4" in said


def test_an_idle_machine_is_left_to_torch(monkeypatch, clean, capsys):
    monkeypatch.setattr(free, "free_cores", lambda: 4)
    assert free.thread_environment() == {"OMP_WAIT_POLICY": "PASSIVE"}
    assert capsys.readouterr().err == ""


def test_what_a_person_chose_stays(monkeypatch, clean):
    monkeypatch.setattr(free, "free_cores", lambda: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert free.thread_environment() == {"OMP_WAIT_POLICY": "ACTIVE"}


def test_without_an_affinity_every_core_is_available(monkeypatch):
    """macOS and Windows have no `sched_getaffinity`."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for count, cores in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert free.available_cores() == cores


def test_free_memory_is_what_the_system_says(monkeypatch, tmp_path):
    found = free.free_memory()
    if free._MEMORY.exists():
        assert 1e7 < found < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9 kB\nMemAvailable: 7 kB\n")
    monkeypatch.setattr(free, "_MEMORY", file)
    assert free.free_memory() == 7 * 1024
    monkeypatch.setattr(free, "_MEMORY", tmp_path / "none")
    assert free.free_memory() is None
