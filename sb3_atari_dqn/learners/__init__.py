"""Learners: each turns a batch into one update of the online network; the plain one to read, the fast one to use."""
