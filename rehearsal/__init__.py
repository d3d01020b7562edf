"""Drills: the whole pipeline on the sandbox, under faults that are staged on purpose (`alyx-transfer rehearse`).

    drills/       what goes wrong: one function for each, told in the lab's words
    stage         a lab in a box, with the program at work in it as a lab runs it
    around        what stands between the program and its store or its Alyx, to stage faults there
    watching      an observer that looks for an announcement over wrong bytes all the while
    protections   what may be switched off, to show that a drill can fail
    catalogue     which drills, profiles and protections there are
    running       from names to a sheet

Promises: a drill passes only if every fault it planned was met and, at its end, an inspector that shares no code with
the program finds every file at the store byte for byte and announced exactly so.  Protections are switched off by
wrapping what is given to the program; the program itself has no such switch.  Nothing outlives a rehearsal.
"""
