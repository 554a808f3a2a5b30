"""Proof that the contract can fail: a careful service, and for every case one that is broken in just that way."""
