"""Globus carries the bytes between two collections; we ask, look and rename.

    options     what a config may say
    login       tokens: a confidential client's, or those of a person who logged in once
    document    the frozen submission: built from pieces, and read again when the task has ended
    reports     a task document and its lists -> where the task stands and what became of each file
    events      what Globus says of one file or task -> our errors
    refusals    what the service answers to a request -> our errors
    shelf       listing, renaming and making folders at the store's collection
    transport   `GlobusTransport`, which puts them together

Only `login`, `document`, `refusals`, `shelf` and `transport` import the SDK; a config is read without it.
"""
