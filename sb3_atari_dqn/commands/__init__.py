"""Our own commands besides the zoo's scripts: one module per command, with a function ``main(arguments)``."""
