"""The library: moves registered files from a lab to the central store and proves that they arrived.

It knows no settings file, no Celery, no web and no command line; those live in `config`, `workers`,
`dashboard` and `cli`, and import this.
"""
