"""Each public function and class has a docstring; in the model it gives the shapes, and where it raises, the errors."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap

import pytest

import reformer

MODULES = sorted(info.name for info in pkgutil.walk_packages(reformer.__path__, "reformer."))
RAISING = {"require", "require_choice", "require_positive"}
NEEDS_MORE = ("reformer.model.lsh_triton", "reformer.report.display.workspace")
"""Modules that need Triton, which exists on Linux alone, or an extra."""


def public_parts(name):
    """Yields name and object of the public classes and functions that a module defines, and of their methods."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        assert name.startswith(NEEDS_MORE)
        return
    for key, part in vars(module).items():
        if key.startswith("_") or getattr(part, "__module__", None) != name:
            continue
        if inspect.isclass(part) or inspect.isfunction(part):
            yield f"{name}.{key}", part
        if inspect.isclass(part):
            for attribute in vars(part):
                method = inspect.getattr_static(part, attribute)
                if not attribute.startswith("_") and isinstance(method, type(public_parts) | property | classmethod):
                    yield f"{name}.{key}.{attribute}", getattr(part, attribute)


def raises_by_itself(part):
    """Whether the body of a function has a `raise` with an exception, or a call that refuses a value."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
    return any(
        (isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" not in ast.unparse(node))
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in RAISING)
        for node in ast.walk(tree)
    )


def functions_of_the_model():
    return [
        (where, part)
        for name in MODULES
        if name.startswith(("reformer.model.", "reformer.data."))
        for where, part in public_parts(name)
        if inspect.isfunction(part)
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_and_its_public_parts_have_a_docstring(name):
    assert importlib.util.find_spec(name)
    assert not [where for where, part in public_parts(name) if not inspect.getdoc(part)]


def test_functions_of_tensors_tell_shapes():
    silent = [
        where
        for where, part in functions_of_the_model()
        if "Tensor" in str(inspect.signature(part))
        and not re.search(r"\([^)]*,[^)]*\)|scalar|shape|of x|`", inspect.getdoc(part) or "")
    ]
    assert not silent


def test_functions_that_refuse_an_argument_tell_the_error():
    silent = [
        where
        for where, part in functions_of_the_model()
        if raises_by_itself(part) and "raise" not in (inspect.getdoc(part) or "").lower()
    ]
    assert not silent
