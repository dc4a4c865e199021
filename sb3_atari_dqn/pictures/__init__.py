"""Images of observations, action values and saliency: arrays in, pixels out. Uses neither SB3 nor the zoo."""
