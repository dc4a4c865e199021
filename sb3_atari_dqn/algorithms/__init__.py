"""Algorithms: SB3's training loop around policies, replay, learners and objectives."""
