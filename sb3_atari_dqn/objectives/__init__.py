"""What is learned from a batch: targets and losses as pure torch functions, joined by :class:`Objective`."""
