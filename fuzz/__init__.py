"""Coverage-guided fuzzing of what reads a pusher's bytes: targets, a runner for atheris, and the corpora it grew."""
