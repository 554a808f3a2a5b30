# Targets are described by the comment on their line: `make` alone lists them, under the headings that begin with ##.

PYTHON ?= python3
APPS := $(shell $(PYTHON) -m shared.apps)
BUILD := build
DOCS_PORT := 8010

# Every environment is a folder of .venv: one for each app, for the tests and for the site, one for uv where it is not installed.
UV := $(or $(shell command -v uv),.venv/uv/bin/uv)
INSTALLED := .installed
ENVS := $(APPS:%=.venv/%/$(INSTALLED))
FASTER = $(filter granian,$(SERVER))$(if $(filter command,$(firstword $(origin SERVER))),$(if $(filter-out granian,$(SERVER)),$(error \
	SERVER is granian or nothing, not $(SERVER))))
GRANIAN := $(patsubst apps/%/requirements-granian.txt,%,$(wildcard apps/*/requirements-granian.txt))
FAST := $(GRANIAN:%=.venv/granian-%/$(INSTALLED))
OLDEST := $(APPS:%=.venv/oldest-%/$(INSTALLED))
TESTS := .venv/tests/bin
MANAGE = TYPED='$(typed)' $(PYTHON) -m shared.gateway.manage
LOCK := pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes

field = $(shell $(PYTHON) -m shared.apps $1 $2)
format = $(TESTS)/ruff format $1 --exclude 'apps/*/*app.py' && $(TESTS)/ruff format $1 --line-length 88 apps/*/*app.py

# The options of the check, and the variables that people give them with; a value goes to the shell as it was typed.
OPTIONS := header protected method body open granted denied host paths log pid unconfigured-url empty-url blank-url \
	rotation-url level only known timeout report
variable = $(shell echo '$1' | tr a-z- A-Z_)
VARIABLES = URL QUIET $(call variable,$(OPTIONS))
space := $(subst ,, )
typed = $(foreach word,$(subst \$(space),_,$(MAKEOVERRIDES)),$(firstword $(subst :,,$(subst =, ,$(word)))))
unknown = $(filter-out $(VARIABLES) SHARED_SECRET SHARED_SECRET_PREVIOUS SSL_CERT_FILE PYTHON UV,$(typed))
given = $(if $(filter command,$(firstword $(origin $1))),$(if $(value $1)$(filter OPEN,$1),$2'$(subst ','\'',$(value $1))'))
option = $(if $(filter undefined,$(origin $1)),,--$2 '$($1)')

ifeq ($(APPS),)
$(error $(PYTHON) cannot be used. Name another: make PYTHON=python3.13 ...)
endif

.DELETE_ON_ERROR:
.PHONY: help run $(APPS:%=run-%) new gateway up down key keys revoke rotate upgrade reload \
	cluster-up cluster-down cluster-key cluster-keys cluster-revoke cluster-rotate test-cluster \
	test $(APPS:%=test-%) test-oldest test-copies test-stack test-bench contract check report bench bench-readme docs docs-site docs-serve lint format sync lock clean setup

help: # list the targets
	@awk -F ' # ' '/^## / { print "\n" substr($$0, 4) ":" } \
		/^[a-z-]+:.* # / { split($$1, name, ":"); printf "  make %-14s %s\n", name[1], $$2 } \
		/^\$$\(APPS:%=[a-z]+-%\):/ { match($$1, /[a-z]+-/); printf "  make %-14s %s\n", substr($$1, RSTART, RLENGTH) "<app>", $$2 }' Makefile
	@printf '\nwhere <app> is one of: %s\n' "$(APPS)"

## Run
$(APPS:%=run-%): run-%: .venv/$(FASTER:%=%-)%/$(INSTALLED) setup # serve one app; SERVER=granian is faster, for behind a gateway alone
	@shared/run.sh $* $(call field,port,$*) $(FASTER:%=%-)$* '$(call field,$(or $(FASTER),start),$*)' \
		'$(if $(FASTER),$(call field,gives_up,$*))'

run: $(ENVS) setup # serve all five at once; Ctrl-C ends them
	@$(if $(FASTER),echo 'This starts each app as it is shipped. For one: make run-falcon SERVER=granian' >&2; exit 2)
	@$(MAKE) SERVER= PORT= --no-print-directory -j$(words $(APPS)) $(APPS:%=run-%)

new: # copy an app to a new folder: FROM=falcon TO=../my-api
	@$(PYTHON) -m shared.new "$$FROM" "$$TO" $(PYTHON)

## Gateway
gateway: # the gateway in front of `make run`, with a local haproxy
	@exec $(MANAGE) serve $(foreach app,$(APPS),$(app)=$(call field,port,$(app)))

up: # the gateway and all five in Docker; prints a curl line
	@$(MANAGE) up

down: # stop what `make up` started
	docker compose down

key: # make an API key: NAME=acme; it is printed once
	@$(MANAGE) add '$(NAME)'

keys: # list the consumers that have a key
	@$(MANAGE) keys

revoke: # revoke a key: NAME=acme
	@$(MANAGE) revoke '$(NAME)'

rotate: # replace the secret while everything runs
	@$(MANAGE) rotate

upgrade: # build an app anew and replace its replicas one by one: APP=fastapi
	@$(MANAGE) upgrade '$(APP)'

reload: # make the gateway read its configuration and its certificate again
	@$(MANAGE) reload

## Kubernetes
cluster-up: # the gateway and all five in the cluster that kubectl reaches, or CONTEXT=; prints commands for a request
	@$(MANAGE) cluster-up

cluster-down: # stop what `make cluster-up` started
	@$(MANAGE) cluster-down

cluster-key: # make an API key there: NAME=acme; it is printed once
	@$(MANAGE) cluster-key '$(NAME)'

cluster-keys: # list the consumers that have a key there
	@$(MANAGE) cluster-keys

cluster-revoke: # revoke a key there: NAME=acme
	@$(MANAGE) cluster-revoke '$(NAME)'

cluster-rotate: # replace the secret there while everything runs
	@$(MANAGE) cluster-rotate

## Test
test: .venv/tests/$(INSTALLED) .venv/grown/$(INSTALLED) $(ENVS) $(FAST) # start every app as a real server and run the contract against it
	$(TESTS)/pytest
	$(TESTS)/pytest --granian tests/apps/test_contract.py -k test_case

$(APPS:%=test-%): test-%: .venv/tests/$(INSTALLED) .venv/grown/$(INSTALLED) .venv/%/$(INSTALLED) # the same for one app, without the gateway
	$(TESTS)/pytest --app $* tests/apps tests/broken tests/bench

test-oldest: .venv/tests/$(INSTALLED) $(OLDEST) # run the contract with the oldest versions that each pyproject.toml allows
	$(TESTS)/pytest --oldest tests/apps/test_contract.py -k test_case

test-copies: .venv/tests/$(INSTALLED) .venv/docs/$(INSTALLED) # test copies of the apps, set up as their READMEs say, the pages, the wheel and other languages
	$(TESTS)/pytest --copies -m 'not stack and not cluster and not bench' \
		tests/apps/test_contract.py tests/apps/test_services.py tests/apps/test_starters.py tests/kubernetes tests/pages \
		tests/broken/test_check.py tests/broken/test_languages.py

test-stack: .venv/tests/$(INSTALLED) # the same for what `make up` starts, with Docker
	$(TESTS)/pytest -m stack

test-cluster: .venv/tests/$(INSTALLED) # the same for what `make cluster-up` starts, in the cluster that kubectl reaches, or CONTEXT=
	$(TESTS)/pytest -m cluster tests/kubernetes

test-bench: .venv/bench/$(INSTALLED) $(ENVS) # run the bench quickly and check its results
	.venv/bench/bin/pytest -m bench

contract: .venv/tests/$(INSTALLED) # list the contract, case by case
	@$(TESTS)/python -m tests.contract list

check: .venv/tests/$(INSTALLED) # run the contract against any running service: URL=http://host:port, SHARED_SECRET set
	@$(if $(unknown),echo 'make check does not have: $(unknown). It has: $(VARIABLES).' >&2; exit 2)
	@BY_MAKE=1 $(TESTS)/python -m tests.contract check $(call given,URL) $(if $(filter-out 0,$(QUIET)),--quiet) \
		$(foreach option,$(OPTIONS),$(call given,$(call variable,$(option)),--$(option)=))

bench: .venv/bench/$(INSTALLED) $(ENVS) # measure what the check costs, and every app on every server; QUICK=1 takes about three minutes
	@.venv/bench/bin/python -m tests.bench --output $(BUILD)/bench $(if $(QUICK),--quick) $(call option,PARTS,parts)

## Documents
report: .venv/tests/$(INSTALLED) $(ENVS) # run the contract against every app, write build/report and the tables of results
	$(TESTS)/pytest tests/apps/test_contract.py -k test_case --report build/report
	@echo "Open build/report/index.html."

bench-readme: .venv/bench/$(INSTALLED) # put the results of the last whole run into tests/bench/README.md
	@.venv/bench/bin/python -m tests.bench.tables $(BUILD)/bench

docs: .venv/tests/$(INSTALLED) # build a page for each app and test everything on it; SITE=https://... is its address
	@$(TESTS)/python -m tests.pages --output $(BUILD)/docs $(call option,SITE,site)

docs-site: .venv/docs/$(INSTALLED) | $(BUILD)/docs
	@rm -rf $(BUILD)/site $(BUILD)/doctrees
	@.venv/docs/bin/sphinx-build --quiet --fail-on-warning --builder dirhtml --conf-dir shared/docs \
		--doctree-dir $(BUILD)/doctrees $(BUILD)/docs $(BUILD)/site

docs-serve: docs-site # serve the pages as a site on this machine, at port 8010 or PORT=
	@exec $(PYTHON) shared/docs/serve.py $(BUILD)/site $(or $(PORT),$(DOCS_PORT))

## Maintain
lint: .venv/tests/$(INSTALLED) .venv/docs/$(INSTALLED) .venv/bench/$(INSTALLED) $(ENVS) # check format, style, types, the CI workflows and the action
	$(call format,--check)
	$(TESTS)/ruff check
	$(TESTS)/mypy --python-executable .venv/bench/bin/python --exclude shared/docs/conf.py shared tests
	$(TESTS)/mypy --python-executable .venv/docs/bin/python shared/docs/conf.py
	for app in $(APPS); do (cd apps/$$app && ../../$(TESTS)/mypy --config-file ../../pyproject.toml \
		--python-executable ../../.venv/$$app/bin/python --exclude test_app.py .) || exit; done
	$(TESTS)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(TESTS)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml

format: .venv/tests/$(INSTALLED) # put the code into the format that lint checks
	$(call format)
	$(TESTS)/ruff check --fix

sync: .venv/tests/$(INSTALLED) # write what the apps have in common, from shared/app and shared/apps.py, and the tables of the bench
	@$(TESTS)/python -m shared.sync
	@$(TESTS)/python -m tests.bench.tables

lock: $(UV) # pin the newest versions that the pyproject.toml files allow
	for app in $(APPS); do (cd apps/$$app && $(abspath $(UV)) $(LOCK) pyproject.toml -o requirements.txt && \
		$(abspath $(UV)) $(LOCK) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt) || exit; done
	for app in $(GRANIAN); do (cd apps/$$app && $(abspath $(UV)) $(LOCK) --group granian \
		-c requirements.txt -o requirements-granian.txt) || exit; done
	$(UV) $(LOCK) --group contract -o tests/contract/requirements.txt
	$(UV) $(LOCK) --group tests -o tests/requirements.txt
	$(UV) $(LOCK) --group grown -o tests/apps/grown.txt
	$(UV) $(LOCK) --group bench -o tests/bench/requirements.txt
	$(UV) $(LOCK) --group docs -o shared/docs/requirements.txt

clean: # remove the environments, caches and reports; .env and .secrets stay
	rm -rf .venv .*_cache .hypothesis build
	find apps shared tests -name __pycache__ -exec rm -rf {} +

.venv/uv/bin/uv:
	$(PYTHON) -m venv .venv/uv
	.venv/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

setup:
	@$(MANAGE) setup

$(BUILD)/docs:
	@$(MAKE) --no-print-directory docs

.venv/tests/$(INSTALLED): tests/requirements.txt
.venv/grown/$(INSTALLED): tests/apps/grown.txt
.venv/docs/$(INSTALLED): shared/docs/requirements.txt
.venv/bench/$(INSTALLED): tests/bench/requirements.txt
$(ENVS): .venv/%/$(INSTALLED): apps/%/requirements.txt
$(FAST): .venv/granian-%/$(INSTALLED): apps/%/requirements.txt apps/%/requirements-granian.txt
$(filter-out $(FAST),$(APPS:%=.venv/granian-%/$(INSTALLED))): .venv/granian-%/$(INSTALLED):
	@echo '$* does not meet the contract on granian. These do: $(GRANIAN).' >&2; exit 1
.venv/%/$(INSTALLED): | $(UV)
	@echo "Setting up .venv/$*"
	@rm -rf .venv/$*
	@$(UV) venv --quiet --python $(PYTHON) .venv/$*
	@$(UV) pip install --quiet --require-hashes --python .venv/$*/bin/python $(addprefix --requirement ,$(filter %.txt,$^))
	@touch $@

$(OLDEST): .venv/oldest-%/$(INSTALLED): apps/%/pyproject.toml | $(UV)
	@echo "Setting up .venv/oldest-$*"
	@rm -rf .venv/oldest-$*
	@$(UV) venv --quiet --python $(PYTHON) .venv/oldest-$*
	@$(UV) pip install --quiet --resolution lowest-direct --python .venv/oldest-$*/bin/python --requirement $<
	@touch $@
