"""The cases of the contract, one module for each group; the name of a case is `group/what`, and stays.

In what a case sends, `<secret>` stands for the secret that the service was given, `<header>` for the name of the field
that carries it, `<protected>` for a path that needs it and `<open>` for the one that does not.
"""

from ..case import Case, Exchange, Requirement
from . import auth, config, deny, doors, errors, http2, leak, life, load, open, rotate, stop, wire

GROUPS = {  # what each is about, in the order in which they run
    module.__name__.rpartition(".")[2]: (module.__doc__ or "").strip().removesuffix(".")
    for module in (open, config, auth, deny, doors, wire, http2, errors, load, rotate, life, stop, leak)
}
CASES: list[Case] = [
    *open.CASES, *config.CASES, *auth.CASES, *deny.CASES, *doors.CASES, *wire.CASES, *http2.CASES,
    *errors.CASES, *load.CASES, *rotate.CASES, *life.CASES, *stop.CASES, *leak.CASES,
]  # fmt: skip
EXCHANGES = [case for case in CASES if isinstance(case, Exchange)]


def by_requirement(group: str) -> dict[Requirement, list[Case]]:
    """Return the cases of a group under what they require, in their order."""
    found: dict[Requirement, list[Case]] = {}
    for case in CASES:
        if case.group == group:
            found.setdefault(case.requirement, []).append(case)
    return found
