"""Machines of Google's Compute Engine.

Only `client` and what needs it, such as `backend`, import Google's library: that takes two seconds.
"""
