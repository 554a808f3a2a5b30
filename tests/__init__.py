"""The tests, and what they are made of; README.md says which room is for what."""
