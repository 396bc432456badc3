"""The scenario format: what exists in a world and how it behaves, written in YAML.

The modules, by what a user would look for:

- `models`: the format itself, as frozen pydantic models (`Scenario` and everything in it).
- `loader`: `load(path)` and `loads(text)`; every mistake at once, each with file, line and column.
- `templates`: the `{{ ... }}` expressions that replies and model turns may contain.
- `schema`: the JSON Schema editors use for completion.
- `check`: what `stack-emu check` prints.

Nothing is imported here, so that naming the package costs nothing.
"""
