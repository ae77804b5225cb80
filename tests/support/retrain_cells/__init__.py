"""Retrainings that are killed at random times and then finish, with checks of the result.

A trial has a model with a champion, and a challenger that is better, worse or equal. Its launcher
is killed several times, then one finishes. Every trial must end with the right champion, complete
versions, one training and no machine.
"""

from retrain_cells.challengers import Challengers, make
from retrain_cells.trial import KINDS, WARM, Outcome, Trial, prepare

__all__ = ["KINDS", "WARM", "Challengers", "Outcome", "Trial", "make", "prepare"]
