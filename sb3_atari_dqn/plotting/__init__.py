"""Learning curves of the zoo's runs, of any algorithm. Imports no learner and executes no file."""
