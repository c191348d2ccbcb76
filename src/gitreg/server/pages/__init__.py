"""Show the registry to people: pages rendered on the server, which need no script to be read; see docs/pages.md.

`app.pages(site)` is the ASGI application for /ui, behind the guard that knows the caller.
"""
