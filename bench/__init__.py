"""What the program costs and how fast it is, measured: not part of the wheel, no promise of the program."""
