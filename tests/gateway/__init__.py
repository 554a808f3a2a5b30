"""The gateway: what it accepts, adds and keeps out, how it changes under way, and the stack of `make up`."""
