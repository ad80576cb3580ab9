# make demo   set everything up and render the demonstration
# make test   set everything up and run the tests
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo
BLENDER_VENV ?= .venv-bpy
PYTHON_NEWEST ?= python3.13

.PHONY: demo test lint format bench bench-blender addon env env-dev env-bpy env-bpy-newest system soak clean

demo: env
	$(BIN)/emorig demo --out $(OUT)

test: env-dev
	$(BIN)/python -m pytest -q -m "not soak" tests

soak: env-dev
	$(BIN)/python -m pytest -q -m soak tests

lint: env-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: env
	$(BIN)/python -m backend evaluate speed

# What an animator waits for in Blender: curves that land, a frame previewed, a minute performed again.
bench-blender: env env-bpy
	$(BLENDER_VENV)/bin/python tests/blender/benchmark.py --backend $(BIN)/python

addon: env env-bpy
	$(BIN)/python blender_addon/packaging.py --out dist --bpy-python $(BLENDER_VENV)/bin/python

env: $(VENV)/.installed

env-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml .ci/system_packages
	bash .ci/system_packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e ".[dev,cluster]"
	touch $@

clean:
	rm -rf $(VENV) $(BLENDER_VENV) $(BLENDER_VENV)-newest build dist demo

env-bpy: $(BLENDER_VENV)/.installed

# Blender as a Python package, for the tests of the add-on; about 1 GB.
$(BLENDER_VENV)/.installed:
	$(PYTHON) -m venv $(BLENDER_VENV)
	$(BLENDER_VENV)/bin/python -m pip install --quiet "bpy==4.5.*" "numpy<2" pyzmq msgpack
	touch $@

env-bpy-newest: $(BLENDER_VENV)-newest/.installed

# The newest Blender as a Python package, for the soak tests; it comes for Python 3.13 alone.
$(BLENDER_VENV)-newest/.installed:
	$(PYTHON_NEWEST) -m venv $(BLENDER_VENV)-newest
	$(BLENDER_VENV)-newest/bin/python -m pip install --quiet "bpy==5.2.*" numpy pyzmq msgpack
	touch $@
