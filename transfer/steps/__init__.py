"""The verbs of the journey, one file and one public function each.

    discover -> register -> plan -> push -> verify -> publish -> record

A step does one thing to many items under a lease, writes down what it proved in guarded transactions,
and answers the failures; it never decides what a failure means (`runner` asks `retries`).  Before every
outside effect it calls `work.ensure()`.
"""
