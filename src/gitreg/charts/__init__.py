"""Draw what the registry tells: metrics over versions, and lineage as a graph."""
