"""Studies: named lists of runs of the zoo that can be stopped and continued, and their tables."""
