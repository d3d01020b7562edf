"""Drills: the whole pipeline on the sandbox, under faults that are staged on purpose (`alyx-transfer rehearse`)."""
