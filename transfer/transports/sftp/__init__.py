"""A store behind an SFTP server.

From the wire up: `carriers` are the verified connections, `protocol` the requests of SFTP v3 on one of their
streams, `channels` the conversations that are open.  `jobs` and `pipelining` keep hundreds of files under way on
one channel, `batch` spreads a batch over several, `sharing` a large file.  `store` and `folders` know what names
and refusals mean; `sending`, `stripes_out`, `continuing`, `fetching`, `hashing` and `errands` do one thing each;
`transport` keeps the promises of `base` with them.
"""
