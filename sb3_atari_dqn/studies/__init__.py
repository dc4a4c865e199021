"""Studies: named lists of the zoo's trainings that can be stopped and continued, on this machine or on Ray."""
