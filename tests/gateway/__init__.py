"""The gateway: what it accepts, adds and removes, how it changes while it runs, and the stack of `make up`."""
