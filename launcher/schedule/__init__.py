"""Retraining at set times: stored schedules, and the scheduler that starts what is due."""
