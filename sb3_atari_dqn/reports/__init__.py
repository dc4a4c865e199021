"""Tables and figures of many runs: scores, their uncertainty, and under which protocol they were made."""
