"""What the five apps have in common, the gateway in front of them, and the pages about them."""
