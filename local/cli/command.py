"""The `signalbox` command: help, completion and error handling. catalogue.py lists what it can do."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer._click.exceptions import BadParameter, ClickException, MissingParameter, NoArgsIsHelpError, NoSuchOption, UsageError
from typer.core import TyperGroup
from typer.main import get_command as as_command
from typing_extensions import override

from local.cli.catalogue import COMMANDS, EXAMPLES
from local.cloud.private import private_files
from local.errors import WorkbenchError
from local.settings import completes_a_word, show_no_colour
from signalbox.errors import SignalboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer._click.core import Command, Context
    from typer._click.formatting import HelpFormatter

    from signalbox.problems import Problem

INPUT_ERROR: Final = 2
INTERRUPTED: Final = 130
WIDTH: Final = 110
EVERYWHERE: Final = ("--verbose", "--quiet", "--no-color")


class Commands(TyperGroup):
    """The commands of the catalogue, each imported when needed."""

    @override
    def list_commands(self, ctx: Context) -> list[str]:
        return [entry.name for entry in COMMANDS]

    @override
    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        entry = next((entry for entry in COMMANDS if entry.name == cmd_name), None)
        if entry is None:
            return None
        module, _, name = entry.source.partition(":")
        found = getattr(import_module(module), name)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(entry.name)(found)
            found = alone
        found.rich_markup_mode = None
        command = as_command(found)
        command.name = entry.name
        _add_examples(command, entry.name)
        return command

    @override
    def invoke(self, ctx: Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # typer would make a silent exit of it
            raise typer.Abort from error

    @override
    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        for group in dict.fromkeys(entry.group for entry in COMMANDS):
            with formatter.section(group):
                formatter.write_dl([(entry.name, entry.help) for entry in COMMANDS if entry.group == group])


def _add_examples(command: Command, path: str) -> None:
    command.context_settings["max_content_width"] = WIDTH
    if path in EXAMPLES:
        command.epilog = f"Example: signalbox {EXAMPLES[path]}"
    for name, one in getattr(command, "commands", {}).items():
        _add_examples(one, f"{path} {name}")


app = typer.Typer(
    name="signalbox",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": WIDTH},
)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer passes it so
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - only here

        typer.echo(f"signalbox {version('signalbox')}")
        raise typer.Exit


@app.callback()
def signalbox(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,  # noqa: FBT002
    verbose: Annotated[bool, typer.Option("--verbose", help="Log progress, and print full tracebacks of errors.")] = False,  # noqa: FBT002
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only results and errors, no progress.")] = False,  # noqa: FBT002
    no_color: Annotated[bool, typer.Option("--no-color", help="Print without colours, as NO_COLOR=1 does.")] = False,  # noqa: FBT002
) -> None:
    """Crypto signals behind a risk interlocking: replay history, run the local cloud, train models, manage accounts.

    --verbose, --quiet and --no-color may stand anywhere on the line. `signalbox config show` shows the settings from
    signalbox.toml and the environment. `signalbox doctor` shows what is missing on this machine.
    """


def main() -> None:
    """Run the command and exit with its code. An error is one line and exit 2; --json also prints a problem (RFC 9457)."""
    words, asked = _split(sys.argv[1:])
    if "--no-color" in asked:
        show_no_colour()
    if "--verbose" in asked:
        import logging  # noqa: PLC0415 - only where it is asked for

        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    errors = sys.stderr
    silenced = "--quiet" in asked and not completes_a_word()
    with contextlib.ExitStack() as closing:
        closing.enter_context(private_files())  # candles, bundles, reports and packages, whichever command writes them
        if silenced:
            closing.enter_context(contextlib.redirect_stderr(closing.enter_context(open(os.devnull, "w"))))  # noqa: PTH123 - no file
        code, message = _run(words, is_verbose="--verbose" in asked)
    if message:
        errors.write(f"{message if '--verbose' in asked else _shown(message)}\n")
    sys.exit(code)


def _shown(message: str) -> str:
    """Return a message as a terminal may have it: what it quotes of files and answers may hold what moves a cursor."""
    from signalbox.wire import in_one_line  # noqa: PLC0415 - pydantic, only once something went wrong

    return "\n".join(in_one_line(line) for line in message.split("\n"))


def _split(words: list[str]) -> tuple[list[str], set[str]]:
    """Split the command line into the command's words and the options accepted anywhere. After `--` all are arguments."""
    end = words.index("--") if "--" in words else len(words)
    asked = {word for word in words[:end] if word in EVERYWHERE}
    return [word for word in words[:end] if word not in asked] + words[end:], asked


def _run(words: list[str], *, is_verbose: bool) -> tuple[int, str]:
    """Run the command; return its exit code and the text of an error."""
    code, message = INPUT_ERROR, ""
    try:
        with _pipe_of_rich():
            found = as_command(app).main(args=words, prog_name="signalbox", standalone_mode=False)
        code = found if isinstance(found, int) else 0
    except NoArgsIsHelpError as error:
        message = error.format_message()
    except ClickException as error:
        text = _usage(error)
        message = f"signalbox: {text}"
        if "--json" in words:
            _print_problem(_usage_problem(text))
    except SignalboxError as error:
        message = _with_trace(f"signalbox: {' '.join(str(error).split())}", is_verbose=is_verbose)
        if "--json" in words:
            _print_problem(_problem(error))
    except BrokenPipeError:
        code = 0  # the reader closed the pipe
    except OSError as error:
        if error.filename is None:
            raise
        message = _of_file(error, words, is_verbose=is_verbose)
    except (KeyboardInterrupt, typer.Abort):
        code, message = INTERRUPTED, "signalbox: interrupted"
    return code, message


@contextlib.contextmanager
def _pipe_of_rich() -> Iterator[None]:
    """Raise BrokenPipeError where rich found the pipe closed, which it answers with exit 1."""
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise


def _with_trace(line: str, *, is_verbose: bool) -> str:
    if not is_verbose:
        return line
    import traceback  # noqa: PLC0415 - only where it is asked for

    return f"{traceback.format_exc()}{line}"


def _usage(error: ClickException) -> str:
    """Return in one line what is wrong with a command line, a likely correction, and which help to read."""
    text = error.format_message()
    context = error.ctx if isinstance(error, UsageError) else None
    if isinstance(error, NoSuchOption):
        options = [] if context is None else [name for one in context.command.params for name in one.opts if name[:2] == "--"]
        text = f"no option {error.option_name}{_meant(error.option_name, [*options, *EVERYWHERE])}"
    elif context is not None and isinstance(context.command, TyperGroup) and text.startswith("No such command"):
        named = text.split("'")[1]
        text = f"no command {named}{_meant(named, context.command.list_commands(context))}"
    elif isinstance(error, MissingParameter):
        argument = error.param.name if error.param is not None and error.param.opts[0][:1] != "-" else None
        text = text[:1].lower() + text[1:] if argument is None else f"missing argument {argument.upper()}"
    elif isinstance(error, BadParameter):
        names = [] if error.param is None else error.param.opts
        text = f"{max(names, key=len)}: {error.message}" if names else error.message
    place = "signalbox" if context is None else context.command_path
    return f"{' '.join(text.split()).rstrip('.')} ({place} --help)"


def _meant(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _print_problem(problem: Problem) -> None:
    sys.stdout.write(f"{json.dumps(problem.to_json())}\n")


def _problem(error: SignalboxError) -> Problem:
    from signalbox.problems import problem_of  # noqa: PLC0415 - pydantic, only once something went wrong

    return error.problem if isinstance(error, WorkbenchError) else problem_of(error)


def _of_file(error: OSError, words: list[str], *, is_verbose: bool) -> str:
    """Return the line for a file that cannot be used, and print the problem if --json asks for it."""
    from signalbox.problems import Problem, type_named  # noqa: PLC0415 - as above

    text = f"{error.filename}: {error.strerror}"
    if "--json" in words:
        _print_problem(Problem(type=type_named("usage"), title="A file or folder cannot be used", detail=text))
    return _with_trace(f"signalbox: {text}", is_verbose=is_verbose)


def _usage_problem(text: str) -> Problem:
    from signalbox.problems import Problem, type_named  # noqa: PLC0415 - as above

    return Problem(type=type_named("usage"), title="The command line cannot be understood", detail=text)


if __name__ == "__main__":
    main()
