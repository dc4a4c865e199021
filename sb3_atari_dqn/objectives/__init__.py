"""Targets and losses as pure torch functions, combined by :class:`Objective`."""
