"""Conditional spaces: one of several parts, each with fields of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mtlkeras._errors import unknown_name
from mtlkeras.specs import Spec

if TYPE_CHECKING:
    import keras_tuner as kt


def choose(
    hp: kt.HyperParameters, name: str, options: Mapping[str, Any] | Iterable[Any], **fixed: Any
) -> Any:
    """Lets a search choose among specs; the fields of each are searched only where it is chosen.

    The choice itself has the name `name`; the field `depth` of the option `resnet` has the name
    `name/resnet/depth`. Fresh hyperparameters give the first option with its defaults.

    Args:
        hp: A `keras_tuner.HyperParameters`, or what a recipe's `build(hp)` got.
        name: Name of the choice, such as `"trunk"`.
        options: Specs by name, or a list of them, whose names are then those of the classes. A
            class is tuned over its default space; a spec is taken as it is; a function of `hp`
            draws what it likes and returns a spec.
        **fixed: Fields to hold at a value in every class that has them.

    Returns:
        The spec that was drawn.

    Raises:
        ValueError: If there are no options, two have the same name, or no class has a field
            that is to be fixed.

    Example:

    ```python
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    trunks = {"resnet": mtlkeras.trunks.ResNet, "vgg": mtlkeras.trunks.VGG(depth=11, width=16)}
    trunk = mtlkeras.tuning.choose(hp, "trunk", trunks, dropout=0.1)
    trunk  # ResNet(dropout=0.1)
    ```
    """
    named = _named(options, name)
    _check_fixed(named, fixed, name)
    chosen = hp.Choice(name, list(named))
    for key, option in named.items():
        with hp.conditional_scope(name, [key]):
            if key == chosen:
                with hp.name_scope(name), hp.name_scope(key):
                    spec = _drawn(hp, option, fixed)
    return spec


def _named(options: Any, name: str) -> dict[str, Any]:
    if isinstance(options, Mapping):
        named = dict(options)
    else:
        options = list(options)
        named = {_name_of(option): option for option in options}
        if len(named) < len(options):
            raise ValueError(f"choose '{name}': two options have the same name; give a dict by name.")
    if not named:
        raise ValueError(f"choose '{name}': expected at least one option.")
    return named


def _name_of(option: Any) -> str:
    return repr(option) if isinstance(option, Spec) else option.__name__


def _check_fixed(options: Mapping[str, Any], fixed: Mapping[str, Any], name: str) -> None:
    fields = [field for option in options.values() if _is_class(option) for field in option.field_names()]
    for field in fixed:
        if field not in fields:
            raise unknown_name("field", field, dict.fromkeys(fields), f"choose '{name}'")


def _is_class(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, Spec)


def _drawn(hp: kt.HyperParameters, option: Any, fixed: Mapping[str, Any]) -> Any:
    if _is_class(option):
        return option.tune(hp, **{k: v for k, v in fixed.items() if k in option.field_names()})
    return option if isinstance(option, Spec) else option(hp)
