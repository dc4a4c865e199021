"""Learners: each makes one update of the online network from a batch; the reference to read, the fast one to use."""
