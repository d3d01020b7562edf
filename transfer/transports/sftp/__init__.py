"""A store behind an SFTP server.

From the wire up: `carrier` is the verified connection, `protocol` the requests of SFTP v3 on one of its
streams, `channels` the conversations that are open, `store` what names and refusals mean; `sending`,
`fetching`, `hashing` and `errands` do one thing each; `transport` keeps the promises of `base` with them.
"""
