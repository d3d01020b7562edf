"""The line to the store: longer, cut, silent, or with a bit turned over.  A real TCP line before a real SFTP server."""

from rehearsal.configuring import Scenery
from rehearsal.stage import Stage

IN_A_FILE = 512 << 10
"""Bytes after which a connection is in the middle of the largest file, or of many others."""

FAR = Scenery()
IMPATIENT = Scenery(options={"timeout": 1.0, "sync_timeout": 1.0})
"""As a lab's config, but a server may be silent for a second only, where a lab gives it a minute."""


def latency(stage: Stage) -> None:
    stage.line.delay = 0.03
    stage.plan.add("a connection over the long line", 1, lambda: stage.line.made.total())
    with stage.working():
        stage.settle()


def resets(stage: Stage) -> None:
    trouble = stage.line.trouble("cut", after=IN_A_FILE, times=2)
    stage.plan.add("a reset in the middle of a file", trouble.times, lambda: trouble.met)
    with stage.working():
        stage.settle()


def stall(stage: Stage) -> None:
    trouble = stage.line.trouble("stall", after=IN_A_FILE)
    stage.plan.add("a silence in the middle of a file", trouble.times, lambda: trouble.met)
    with stage.working():
        stage.settle()


def wire(stage: Stage) -> None:
    trouble = stage.line.trouble("flip", after=IN_A_FILE)
    stage.plan.add("a bit turned over on the line", trouble.times, lambda: trouble.met)
    with stage.working():
        stage.settle()
