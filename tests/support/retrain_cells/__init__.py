"""Retrainings that are killed at random instants, run to their end, and looked at.

A trial is a model with a champion, a challenger that is really better, worse or as good, a launcher
that is killed some times over, and one that is not. What must come of it is the same everywhere:
the right champion, every version whole, one training, no machine.
"""

from retrain_cells.challengers import Challengers, make
from retrain_cells.trial import KINDS, WARM, Outcome, Trial, prepare

__all__ = ["KINDS", "WARM", "Challengers", "Outcome", "Trial", "make", "prepare"]
