"""The bench: what the check costs, and how every server copes with the contract. `make bench` runs it."""
