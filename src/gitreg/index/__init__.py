"""Keep what the files of a registry say in SQLite, and answer searches from it; the index never decides anything."""
