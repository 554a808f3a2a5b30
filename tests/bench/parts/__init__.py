"""The parts of the bench, in the order in which they run: each module says what it measures, and how."""

from tests.bench.parts import apps, growth, rule, servers, sizes

MODULES = {part.name: part for part in (rule.PART, apps.PART, growth.PART, sizes.PART, servers.PART)}
