"""Parameter groups of a rule: selectors, settings and their validation."""
