"""What is committed says only what is true, on every machine."""

import contextlib
import doctest
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
#: Somebody's home, or a registry's host; spelled so that this file does not match itself.
LOCAL = re.compile(r"/(?:home|root|Users)/\w|\bpy(?:pi|thonhosted)\.(?:org)\b|\bregistry\.(?:npmjs)\b")


def committed() -> list[Path]:
    """Return the text files that git knows."""
    # The command-line setting: a checkout may belong to another user than the one who tests it.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def blocks(document: Path, *languages: str) -> list[tuple[int, str]]:
    """Return the fenced blocks of a document in order, each with the number of the lines before it."""
    text = document.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(2)), found[2]) for found in FENCE.finditer(text) if found[1] in languages]


def test_no_committed_file_knows_the_machine_it_was_written_on() -> None:
    found = []
    for path in committed():
        with contextlib.suppress(UnicodeDecodeError):  # a binary file
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(ROOT)}: {hit}" for hit in LOCAL.findall(text)]
            if str(ROOT) in text and len(ROOT.parts) > 2:
                found.append(f"{path.relative_to(ROOT)}: {ROOT}")
    assert found == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_python_of_a_document_runs(document: Path) -> None:
    """Run all blocks in order and in one session, as a reader who types along does."""
    session: dict[str, object] = {"__name__": "__main__"}
    for line, source in blocks(document, "python", "pycon"):
        if ">>>" in source:
            example = doctest.DocTestParser().get_doctest(source, {}, document.name, str(document), line)
            example.globs = session  # the parser would have made a copy
            told: list[str] = []
            failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
                example, out=told.append, clear_globs=False
            )
            assert failed == 0, "".join(told)
        else:
            exec(compile("\n" * line + source, str(document), "exec"), session)


def test_the_readme_has_an_example_of_about_20_lines() -> None:
    ((_, example),) = blocks(ROOT / "README.md", "python", "pycon")
    assert 15 <= len(example.splitlines()) <= 25


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!\w+:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []
