"""What the check costs, and what each server does with a header: `make bench`."""
