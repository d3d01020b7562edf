"""The command line: what people type, what they read, and the exit codes their scripts look at."""
