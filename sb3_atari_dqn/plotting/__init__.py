"""Learning curves of the zoo's runs, of any algorithm: read, counted, drawn. Knows no learner, and executes no file."""
