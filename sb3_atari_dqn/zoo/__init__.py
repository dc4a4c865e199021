"""The RL Zoo learns our algorithms: registration, repairs of upstream, tuning, hub."""
