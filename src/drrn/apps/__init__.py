"""The `drrn` commands: they parse the command line, call one function and print."""
