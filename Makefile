# Every target makes its own machine ready first; see deploy/setup.sh.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check bench dist lock clean
BIN := .venv/bin

help: ## what can be done
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 19

setup: ## make this machine ready: RabbitMQ, .venv, dependencies
	@sh deploy/setup.sh

demo: setup ## 52 agencies, a story, and the books (ONCE=1: no terminal; FEW=1: three agencies)
	@$(BIN)/tarasul demo run run/demo $(if $(ONCE),--once) $(if $(FEW),--few)

# RABBITMQ=4 or sid: what needs a broker, on that release of Debian's package (see deploy/broker-release.sh).
# RABBITMQ=container: what starts its broker itself, on one in a container (see tests/support/container_node.py).
# RECORD=1: a green run is written down in docs/tested-on.md.
HOME_OF = RABBITMQ_HOME="$$(sh deploy/broker-release.sh $(RABBITMQ))" && export RABBITMQ_HOME &&
ON := $(if $(RABBITMQ),$(if $(filter container,$(RABBITMQ)),export TARASUL_NODE=container &&,$(HOME_OF)))
AND := $(if $(RABBITMQ), and $(if $(filter container,$(RABBITMQ)),container,broker))
RUN = $(if $(RECORD),TARASUL_RECORD="make $@$(if $(RABBITMQ), RABBITMQ=$(RABBITMQ))") $(BIN)/pytest

test: check ## everything that must hold, on a real broker (RABBITMQ=4, sid, container: on another)
	@$(ON) $(if $(RABBITMQ),,TARASUL_ALL_CODES=1) $(RUN) -m "not slow$(AND)" $(PYTEST)

test-slow: setup ## kills, faults and floods; the authority on both databases; the demonstration; the wheel
	@$(ON) $(RUN) -m "slow$(AND)" $(PYTEST)

check: setup ## linters, types, import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## how fast it is, beside bare aio-pika (QUICK=1: three minutes)
	@$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick)

dist: setup ## the wheel, in dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

lock: setup ## write requirements/*.txt anew from pyproject.toml (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/run.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -o requirements/dev.txt

clean: ## remove what these targets made
	@rm -rf .venv run dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
