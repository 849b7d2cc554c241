"""The command line: `mtlkeras train | tune | baseline | report | evaluate | predict | export | recipes`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mtlkeras._app.cli.arguments import parser
from mtlkeras._app.cli.errors import user_message

USER_ERROR, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The words after `mtlkeras`; `None` for those of the process.

    Returns:
        0 if all went well, 2 for a mistake in what was asked for, 3 if a check fired that `report --fail-on`
        names, 130 after Ctrl-C.
    """
    args = parser().parse_args(arguments)
    # TensorFlow's notes on instruction sets and missing GPUs; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if args.debug else "2")
    # Imported here, as Keras takes seconds and `--help` need not wait for it.
    from mtlkeras._app.cli import commands

    try:
        code = getattr(commands, args.command)(args)
    except KeyboardInterrupt as error:
        return _report("interrupted", error, INTERRUPTED)
    except Exception as error:
        message = user_message(error)
        if args.debug or message is None:
            raise
        return _report(f"error: {message}", error, USER_ERROR)
    return code or 0


def _report(text: str, error: BaseException, code: int) -> int:
    lines = [f"mtlkeras: {text}", *getattr(error, "__notes__", ())]
    print("\n".join(lines), file=sys.stderr, flush=True)
    return code
