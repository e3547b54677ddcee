# make demo   a tiny story in a real ComfyUI, from nothing to a playable mp4
# make test   every test, those in ComfyUI and in a browser included (ARGS="-k cache" picks)
# make setup  .venv and .host only; make lint; make clean

PYTHON ?= python3
PORT ?= 8189
export PORT

VENV := .venv/bin/python

.PHONY: setup demo test lint clean

setup:
	@$(PYTHON) tools/comfy_host.py --requirements requirements-dev.txt

demo: setup
	@$(VENV) -m tools.demo

test: setup
	@$(VENV) -m tools.browser
	@$(VENV) -m pytest $(ARGS)

lint: setup
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .

clean:
	rm -rf .venv .host .ruff_cache .pytest_cache tests/.pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
