# Two commands: `make lab` opens the notebooks, `make test` passes the tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
COURSE := notebooks/assignments

# JupyterLab asks to be told that it runs as root, as it does in containers.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test notebooks release site
.DEFAULT_GOAL := lab

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minimeta needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

# The stamps make both commands quick when nothing changed.
$(VENV)/.lab: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[lab]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.lab $(VENV)/.teach $(VENV)/.site

$(VENV)/.site: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[site]'
	@touch $@ $(VENV)/.lab

$(VENV)/.teach: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[teach]'
	@touch $@ $(VENV)/.lab

lab: $(VENV)/.lab
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir="$(CURDIR)" $(AS_ROOT) notebooks/00_start_here.ipynb

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=600

# Run every notebook in toy mode and store its real outputs, with a picture beside each figure, and its widgets recorded.
notebooks: $(VENV)/.test
	$(BIN)/python tests/regenerate.py notebooks/*.ipynb

# The course as static pages, from the stored outputs: no notebook is run.
site: $(VENV)/.site
	$(BIN)/python site/build.py
	@echo "Open build/site/html/index.html"

# The problem sets as students get them, and the gradebook that grades them. (nbgrader calls alembic by name.)
release: $(VENV)/.teach
	cd $(COURSE) && PATH="$(abspath $(BIN)):$$PATH" nbgrader generate_assignment --force --assignment='*'
