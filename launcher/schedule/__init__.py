"""Retrainings at set times: a store of schedules, and the process that starts what is due."""
