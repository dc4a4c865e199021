"""RL Zoo integration: registration, fixes for upstream, hyperparameter tuning, Hugging Face Hub."""
