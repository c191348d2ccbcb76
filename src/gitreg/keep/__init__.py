"""Keep what a registry needs and nothing else: mend damage, take what is unneeded, carry and sign models."""
