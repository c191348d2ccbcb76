"""Find the models that suit a need told in words, and say which of them are beaten on the measures that count."""
