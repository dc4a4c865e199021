"""Commands of our own beside the zoo's scripts: one module each, with a function ``main(arguments)``."""
