"""Replay memory: one frame per transition, n-step returns, proportional prioritization."""
