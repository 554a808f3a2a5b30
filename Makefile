# Targets are described by the comment on their line: `make` alone lists them.

PYTHON ?= python3
APPS := falcon fastapi cherrypy pyramid litestar
port_falcon := 8001
port_fastapi := 8002
port_cherrypy := 8003
port_pyramid := 8004
port_litestar := 8005
port_docs := 8006
BUILD := build

# Every environment is a folder of .venv: one for each app, for the suite and for the site, one for uv where it is not installed.
UV := $(or $(shell command -v uv),.venv/uv/bin/uv)
INSTALLED := .installed
ENVS := $(APPS:%=.venv/%/$(INSTALLED))
SUITE := .venv/tests/bin
MANAGE := $(PYTHON) shared/gateway/manage.py
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes

.DELETE_ON_ERROR:
.PHONY: help run $(APPS:%=run-%) new gateway up down key revoke rotate test $(APPS:%=test-%) test-copies test-stack test-bench \
	contract check report bench bench-readme docs docs-site docs-serve lint format sync lock clean setup

help: # list the targets
	@awk -F ' # ' '/^[a-z-]+:.* # / { split($$1, name, ":"); printf "  make %-12s %s\n", name[1], $$2 } \
		/^\$$\(APPS:%=[a-z]+-%\):/ { match($$1, /[a-z]+-/); printf "  make %-12s %s\n", substr($$1, RSTART, RLENGTH) "<app>", $$2 }' Makefile
	@echo "  where <app> is one of: $(APPS)"

$(APPS:%=run-%): run-%: .venv/%/$(INSTALLED) setup # serve one app
	@shared/run.sh $* $(port_$*)

run: $(ENVS) setup # serve all five at once; Ctrl-C ends them
	@$(MAKE) PORT= --no-print-directory -j$(words $(APPS)) $(APPS:%=run-%)

new: # copy an app to a folder of its own: FROM=falcon TO=../my-api
	@$(PYTHON) shared/new.py "$$FROM" "$$TO"

gateway: setup # the gateway in front of `make run`, with a local haproxy
	@exec $(MANAGE) serve $(foreach app,$(APPS),$(app)=$(port_$(app)))

up: setup # the gateway and all five in Docker; prints a curl line
	@docker compose version >/dev/null || { echo "This needs Docker with Compose v2; \`make run\` and \`make gateway\` need none."; exit 1; }
	docker compose up --build --detach --wait
	@$(MANAGE) curl

down: # end what `make up` began
	docker compose down

key: setup # make an API key: NAME=acme; it is printed once
	@$(MANAGE) add '$(NAME)'

revoke: setup # take it away: NAME=acme
	@$(MANAGE) revoke '$(NAME)'

rotate: setup # put a new secret in the place of the old one, while everything runs
	@$(MANAGE) rotate

test: .venv/tests/$(INSTALLED) $(ENVS) # start every app as a real server and put the contract to it
	$(SUITE)/pytest

$(APPS:%=test-%): test-%: .venv/tests/$(INSTALLED) .venv/%/$(INSTALLED) # the same for one app
	$(SUITE)/pytest --app $*

test-copies: .venv/tests/$(INSTALLED) .venv/docs/$(INSTALLED) # the same for what people copy: folders by their READMEs, and pages
	$(SUITE)/pytest --copies tests/starters.py tests/pages.py tests/test_contract.py tests/test_services.py

test-stack: .venv/tests/$(INSTALLED) # the same for what `make up` starts, with Docker
	$(SUITE)/pytest tests/stack.py

test-bench: .venv/bench/$(INSTALLED) $(ENVS) # run the bench quickly, and look at what it writes
	.venv/bench/bin/pytest tests/bench/runs.py

contract: .venv/tests/$(INSTALLED) # list the contract, case by case
	@$(SUITE)/python tests/check.py --list

option = $(if $(filter undefined,$(origin $1)),,--$2 '$($1)')
check: .venv/tests/$(INSTALLED) # put the contract to any running service: URL=http://host:port, SHARED_SECRET set
	@$(SUITE)/python tests/check.py $(call option,URL,url) $(call option,UNCONFIGURED_URL,unconfigured-url) \
		$(call option,HEADER,header) $(call option,PROTECTED,protected) $(call option,OPEN,open) \
		$(call option,LOG,log) $(call option,PID,pid)

report: .venv/tests/$(INSTALLED) $(ENVS) # put the contract to every app, write build/report and the README's tables
	$(SUITE)/pytest tests/test_contract.py -k test_case --report build/report
	@echo "Open build/report/index.html."

bench: .venv/bench/$(INSTALLED) $(ENVS) # measure what the check costs, and every server; QUICK=1 takes about two minutes
	@PYTHONPATH=tests:shared .venv/bench/bin/python tests/bench/bench.py --output $(BUILD)/bench \
		$(if $(QUICK),--quick) $(call option,PARTS,parts)

bench-readme: .venv/bench/$(INSTALLED) # put what the last bench has measured into the README
	@PYTHONPATH=tests:shared .venv/bench/bin/python tests/bench/tables.py $(BUILD)/bench

docs: .venv/tests/$(INSTALLED) # make a page for each app and try all that it says; SITE=https://... is where it will be
	@PYTHONPATH=shared $(SUITE)/python tests/docs.py --output $(BUILD)/docs $(call option,SITE,site)

docs-site: .venv/docs/$(INSTALLED) | $(BUILD)/docs
	@rm -rf $(BUILD)/site $(BUILD)/doctrees
	@.venv/docs/bin/sphinx-build --quiet --fail-on-warning --builder dirhtml --conf-dir shared/docs \
		--doctree-dir $(BUILD)/doctrees $(BUILD)/docs $(BUILD)/site

docs-serve: docs-site # show the pages as a site: PORT=8006
	@exec $(PYTHON) shared/docs/serve.py $(BUILD)/site $(or $(PORT),$(port_docs))

lint: .venv/tests/$(INSTALLED) .venv/docs/$(INSTALLED) .venv/bench/$(INSTALLED) $(ENVS) # check format, style, types and the CI workflow
	$(SUITE)/ruff format --check
	$(SUITE)/ruff check
	$(SUITE)/mypy --python-executable .venv/bench/bin/python \
		shared/shared_secret.py shared/new.py shared/gateway/manage.py tests
	$(SUITE)/mypy --python-executable .venv/docs/bin/python shared/docs
	for app in $(APPS); do $(SUITE)/mypy --python-executable .venv/$$app/bin/python apps/$$app || exit; done
	$(SUITE)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: .venv/tests/$(INSTALLED) # put the code into the format that lint checks
	$(SUITE)/ruff format
	$(SUITE)/ruff check --fix

sync: # copy what is in shared/ into the apps
	@for app in $(APPS); do cp shared/shared_secret.py shared/gunicorn.conf.py apps/$$app; done

lock: $(UV) # pin the newest versions that the pyproject.toml files allow
	for app in $(APPS); do (cd apps/$$app && $(abspath $(UV)) pip compile $(LOCK) \
		pyproject.toml --output-file requirements.txt) || exit; done
	$(UV) pip compile $(LOCK) --group tests --output-file tests/requirements.txt
	$(UV) pip compile $(LOCK) --group bench --output-file tests/bench/requirements.txt
	$(UV) pip compile $(LOCK) --group docs --output-file shared/docs/requirements.txt

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
.venv/docs/$(INSTALLED): shared/docs/requirements.txt
.venv/bench/$(INSTALLED): tests/bench/requirements.txt
$(ENVS): .venv/%/$(INSTALLED): apps/%/requirements.txt
.venv/%/$(INSTALLED): | $(UV)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("This needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.13 ...")'
	@echo "Setting up .venv/$*"
	@rm -rf .venv/$*
	@$(UV) venv --quiet --python $(PYTHON) .venv/$*
	@$(UV) pip install --quiet --require-hashes --python .venv/$*/bin/python --requirement $<
	@touch $@
