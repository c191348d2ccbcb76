"""Tell how the server is doing: is it ready, what did it do, how long did it take; see docs/operations.md."""
