"""What goes wrong: one function for each drill, in a file for each group.

Each is given a stage that is built and at rest; it plans its faults, lets the program work, and does a person's part
where one is asked for.  The inspection at the end is not its own business.
"""
