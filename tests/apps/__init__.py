"""The five apps as real servers, the rule that they share, and what holds the repository together."""
