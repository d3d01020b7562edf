"""The ops dashboard: what has not arrived, why, and what to do.  One page in the morning, and an API for all of it.

    app         puts the application together, and serves it
    board       what every page and every call of the API is given: the config, the ledger, the doorbell
    access/     who asks, what they may do, and what the browser is told about it
    api/        `/api/v1`: typed, paged, with our error codes
    pages/      the same for people: HTML made on the server, one file a page
    metrics     `/metrics` for Prometheus
    templates/  static/

Imports point one way: `app` -> `pages` -> `api` -> `access` -> `board`.
"""
