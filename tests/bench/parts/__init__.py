"""The parts of the bench, in the order in which they run: each module says what it measures, and how."""

from tests.bench.parts import apps, gateway, growth, replicas, rule, servers, sizes

ORDER = (rule, apps, growth, gateway, sizes, replicas, servers)
MODULES = {module.PART.name: module.PART for module in ORDER}
