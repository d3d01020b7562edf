"""A lab in a box: servers and sessions for the demo, rehearsals and tests; ignorant of the product."""
