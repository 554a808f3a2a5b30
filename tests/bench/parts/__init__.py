"""The parts of the bench, in the order in which they run: each module says what it measures, and how."""

from tests.bench.parts import apps, gateway, growth, profile, replicas, rule, servers, sizes

ORDER = (rule, apps, profile, growth, gateway, sizes, replicas, servers)
MODULES = {module.PART.name: module.PART for module in ORDER}
