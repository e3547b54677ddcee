# make demo        a tiny story in a real ComfyUI, from nothing to a playable mp4
# make check       lint, types and import doors: seconds, no ComfyUI
# make test-fast   the core and the page's logic: a minute, no ComfyUI, no browser (ARGS="-k cache" picks)
# make test        every test, those in ComfyUI and in a browser included; of the page on both front ends
# make test-core, test-nodes, test-browser   its parts: no ComfyUI; ComfyUI; Chromium, both renderers on both front ends
# make setup       .venv and .host only; make lint; make clean

PYTHON ?= python3
PORT ?= 8189
export PORT

VENV := .venv/bin/python
PYTEST := $(VENV) -m pytest
# two tests at a time; those that share a server or a browser stay together (tests/conftest.py)
SHARED := -n 2 --dist loadfile

.PHONY: setup core demo check test test-fast test-core test-nodes test-browser lint clean

setup:
	@$(PYTHON) tools/comfy_host.py --requirements requirements-dev.txt

core:
	@$(PYTHON) tools/comfy_host.py --core --requirements requirements-dev.txt

demo: setup
	@$(VENV) -m tools.demo

check: core
	@$(VENV) -m tools.check

test-fast: core
	@$(PYTEST) tests/core tests/web -m "not slow" -n auto $(ARGS)

test-core: core
	@$(PYTEST) tests/core tests/web tests/parity tests/benchmarks $(ARGS)

test-nodes: setup
	@$(PYTEST) tests/nodes tests/cases tests/comfyui tests/render tests/training tests/docs $(ARGS)

test-browser: setup
	@$(VENV) -m tools.browser
	@$(VENV) -m tools.front_end
	@$(PYTEST) tests/browser $(SHARED) $(ARGS)

test: setup
	@$(VENV) -m tools.browser
	@$(VENV) -m tools.front_end
	@$(PYTEST) $(SHARED) --one-renderer $(ARGS)

lint: core
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .

clean:
	rm -rf .venv .host .ruff_cache .pytest_cache tests/.pytest_cache node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
