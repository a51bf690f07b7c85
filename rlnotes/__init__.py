"""Reinforcement learning on reasoning language models, from PPO to GDPO."""
