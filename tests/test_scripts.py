"""The scripts of benchmarks/, experiments/ and tools/: how they are called, and how they end."""

import ast
import re

import pytest

from nuclei import ROOT
from nuclei.errors import InputError, run_script

FOLDERS = "benchmarks", "experiments"
SCRIPTS = {
    f"{path.parent.name}/{path.name}": path.read_text(encoding="utf-8")
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py"))
    if path.stem != "plain_pytorch"  # others import it
}
TOOLS = [
    path
    for path in sorted((ROOT / "tools").glob("*.py"))
    if path.stem != "headless"  # run_notebooks imports it
]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")]

CALL = r"python\s+((?:benchmarks|experiments)/\w+\.py)(.*?)(?:`|\n\n|\n {4})"


def options(source):
    """Options that a script adds to argparse."""
    return set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', source))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_refuses_what_it_does_not_know_and_ends_in_a_sentence(name):
    source = SCRIPTS[name]
    assert re.search(r"ArgumentParser\(description=__doc__.splitlines\(\)\[0\]\)", source)
    assert ".parse_args()" in source
    assert source.endswith('if __name__ == "__main__":\n    run_script(main)\n')


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_a_tool_has_a_help_and_takes_no_option_for_a_name(path):
    source = path.read_text(encoding="utf-8")
    assert "ArgumentParser(description=__doc__" in source and "sys.argv" not in source


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_it_is_called(name):
    usage = ast.get_docstring(ast.parse(SCRIPTS[name])).partition(f"    python {name}")[2]
    called = " ".join(usage.partition("\n\n")[0].split())
    assert usage and set(re.findall("--[a-z-]+", called)) == options(SCRIPTS[name])


def test_the_pages_call_scripts_that_exist_with_options_that_they_have():
    found = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, words in re.findall(CALL, text, re.DOTALL):
            assert set(re.findall("--[a-z-]+", words)) <= options(SCRIPTS[name]), page
            found += 1
    assert found > 20


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(InputError("a.png is damaged."), "a.png is damaged.", ""), (KeyboardInterrupt, 130, "Int")],
)
def test_a_script_ends_without_a_traceback(error, code, said, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        run_script(main)
    assert end.value.code == code and capsys.readouterr().err.startswith(said)
