"""The contract of a service that answers only its gateway, and what runs it against any service, in any language.

This folder can be copied out alone: it knows none of the apps, and needs what its requirements.txt names.
"""

VERSION = "2.1"  # of the contract: CHANGELOG.md says what each has changed
