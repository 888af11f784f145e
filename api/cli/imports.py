"""`dealtrace import`: what other systems recorded, row by row, with every bad row named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from api.cli.data import catch_up, opened, writing
from api.cli.failure import INTERRUPTED, Failure
from api.cli.terminal import note, progress
from workers.importer import ImportSummary, Kind, Problem, Progress, load_mapping, problem_file, run_import

SHOWN = 20
"""Bad rows that are printed; all of them go to the file of --bad-rows."""

File = Annotated[Path, typer.Argument(metavar="FILE", help="The export, as CSV, also compressed by gzip.")]
MappingFile = Annotated[
    Path, typer.Option("--mapping", metavar="TOML", help="What its columns, fields and stages mean.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check every row and write nothing.")]
BadRows = Annotated[
    Path | None,
    typer.Option("--bad-rows", metavar="CSV", help="Write every bad row and warning to this file."),
]


def add_imports(app: typer.Typer) -> None:
    """Give the program `import history` and `import activities`."""
    imports = typer.Typer(
        no_args_is_help=True, help="Take over what another system recorded. Exit code 1: some rows were bad."
    )

    @imports.command(
        "history", epilog="Example:  dealtrace import history export.csv.gz --mapping mapping.toml"
    )
    def history(file: File, mapping: MappingFile, dry_run: DryRun = False, bad_rows: BadRows = None) -> None:
        """A field history: one row per change of a field of a deal. May be repeated or continued."""
        _import("history", file, mapping, dry_run, bad_rows)

    @imports.command(
        "activities", epilog="Example:  dealtrace import activities work.csv.gz --mapping mapping.toml"
    )
    def activities(
        file: File, mapping: MappingFile, dry_run: DryRun = False, bad_rows: BadRows = None
    ) -> None:
        """Activities on deals: one row per activity. May be repeated or continued."""
        _import("activities", file, mapping, dry_run, bad_rows)

    app.add_typer(imports, name="import", rich_help_panel="Change")


def _import(kind: Kind, file: Path, mapping_file: Path, dry_run: bool, bad_rows: Path | None) -> None:
    mapping = load_mapping(mapping_file)
    with opened() as server, writing(server, dry_run=dry_run) as (connection, executor):
        with progress(f"Importing {file.name}") as bar, _problems(bad_rows) as report:

            def told(done: Progress) -> None:
                bar.at(
                    done.bytes_read, done.bytes_total, f"{done.rows:,} rows, {done.rows_per_second:,.0f}/s"
                )

            try:
                summary = run_import(
                    executor, connection, file, mapping, kind, dry_run=dry_run, report=report, progress=told
                )
            except KeyboardInterrupt as interrupt:
                raise _interrupted(dry_run) from interrupt
        if not dry_run:
            catch_up(server)
    note(_summary(summary, file, bad_rows))
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _interrupted(dry_run: bool) -> Failure:
    if dry_run:
        return Failure("Interrupted; nothing was written.", exit_code=INTERRUPTED)
    return Failure(
        "Interrupted; the rows that were committed stay.", "run the same command again to go on", INTERRUPTED
    )


@contextmanager
def _problems(bad_rows: Path | None) -> Iterator[Callable[[Problem], None]]:
    """Prints the first problems as they come, and writes all of them to the file."""
    printed = 0

    def tell(problem: Problem) -> None:
        nonlocal printed
        printed += 1
        if printed <= SHOWN:
            note(str(problem))
        elif printed == SHOWN + 1:
            note("... more; --bad-rows FILE takes them all")

    if bad_rows is None:
        yield tell
        return
    with problem_file(bad_rows) as write:

        def both(problem: Problem) -> None:
            tell(problem)
            write(problem)

        yield both


def _summary(summary: ImportSummary, file: Path, bad_rows: Path | None) -> str:
    did = "would append" if summary.dry_run else "appended"
    parts = [
        f"{file.name}: {summary.rows:,} rows of {summary.deals:,} deals in {summary.seconds:.1f} s",
        f"{did} {summary.events:,} events",
        f"{summary.already_there:,} rows were there already",
    ]
    if summary.ignored:
        parts.append(f"{summary.ignored:,} ignored")
    if summary.warnings:
        parts.append(f"{summary.warnings:,} warnings")
    parts.append(f"{summary.bad:,} bad" + (f" (see {bad_rows})" if summary.bad and bad_rows else ""))
    return ", ".join(parts) + ("; nothing was written." if summary.dry_run else ".")
