"""Pictures of what the agent sees and does: numbers in, pixels out. Knows neither SB3 nor the zoo."""
