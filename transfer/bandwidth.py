"""How many bytes a second may leave the lab machine now: weekly timetable, person's limit, recording; pure decisions."""
