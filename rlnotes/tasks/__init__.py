"""QUESTION: tasks with questions to draw and answers to check."""
