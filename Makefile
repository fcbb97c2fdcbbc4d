# Two commands matter: `make run` and `make test`. Everything else is for people who change Lar.
# Each target sets itself up: uv is used where it is found, else it is installed into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.lar-synced

.PHONY: run test check bench conformance clean

run: $(STAMP)
	@$(BIN)/lar

test: $(STAMP)
	@$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder $(ARGS)

check: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m pytest -q tests/test_shape.py

bench: $(STAMP)
	@$(BIN)/python -m bench $(ARGS)

# MCP's own suite against our doors, our server and our client; needs npm. PARTS: fixture server client peers
conformance: $(STAMP)
	@$(BIN)/python -m tests.conformance.run $(PARTS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The exact versions of uv.lock where its index answers; else (a mirror, an index of one's own) the ranges of
# pyproject.toml.
$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Lar needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }; \
	uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
	  [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || exit 1; \
	  [ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv || exit 1; \
	  uv=$(BIN)/uv; \
	fi; \
	echo "Setting up Lar's own environment in $(VENV) …"; \
	if "$$uv" sync --quiet --frozen --inexact --compile-bytecode --python $(PYTHON) 2>$(VENV).log; \
	then rm -f $(VENV).log; \
	else \
	  echo "The locked versions cannot be had (see $(VENV).log): taking the newest that pyproject.toml allows."; \
	  [ -x $(BIN)/python ] || "$$uv" venv --quiet --python $(PYTHON) $(VENV) || exit 1; \
	  "$$uv" pip install --quiet --compile-bytecode --python $(BIN)/python --editable . --group dev || exit 1; \
	fi; \
	$(BIN)/python -m compileall -q runtime tui && touch $(STAMP)
