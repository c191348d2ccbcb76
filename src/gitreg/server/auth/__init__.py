"""Know who calls, and let nobody do more than they may; see docs/authentication.md.

`guard.Guard` stands before the routes, and leaves a `callers.Caller` in each request's state. Routes ask
`callers.require` and `callers.Readers` what it may. Nothing is imported here: `gitreg server token` needs a part alone.
"""
