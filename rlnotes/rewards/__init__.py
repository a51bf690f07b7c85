"""REWARDS: functions of completions by TRL's contract."""
