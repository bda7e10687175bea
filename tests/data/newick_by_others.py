"""What other programs make of our trees: each reads what `TaskTree.newick` writes, and its own text of it is kept.

Run it where all of them are installed, beside minimeta; it is no part of the tests, which read what it prints:

    pip install newick dendropy ete4 biopython scikit-bio treeswift
    python tests/data/newick_by_others.py > tests/data/newick_by_others.toml
"""

import io
import json
import warnings
from importlib.metadata import version

import dendropy
import ete4
import newick
import skbio
import treeswift
from Bio import Phylo
from ete4.parser.newick import make_parser

from minimeta.trees import TaskTree

TREES = {
    "names only": "((en,de)Germanic,(bg,ru)Slavic,el)Indo-European;",
    "lengths": "((en:1.5,de:0.25)Germanic:2,(bg:1,ru:0.015625)Slavic:0.5,el:0.1234567890123)Indo-European:7.5;",
    "no names inside": "((en:1,de:2):3,(bg:4,(ru:5,el:6):7):8);",
    "chains": "(((a)b)c,(d,e,f,g,h)i,j)k;",
    "some lengths": "((en:1.5,de)Germanic,el:2)r;",
    "blanks": "(('wave 0',wave_1,' x')'all of_them',('de/fiction',zh-Hant)b.1);",
    "signs": """(('a=b','c{d}','e"f','(g)'),('h:i','j,k','l;m','[n]','#o')'''p''');""",
    "apostrophes": "('it''s',('''Are''are','O''odham')'Ju|''hoan');",
    "backslash": r"('a\b',c);",
    "letters": "(ελ,(日本語,Français,हिन्दी)ⲁ);",
    "numbers": "((a:1,1.5:2)95:3,(c:4,7:5)0.1:6)1;",
}


def write_biopython(tree):
    text = io.StringIO()
    Phylo.write(tree, text, "newick", format_branch_length="%r")
    return text.getvalue()


def write_skbio(tree):
    return tree.write(io.StringIO(), format="newick").getvalue()


PROGRAMS = {
    ("newick", "newick"): (lambda text: newick.loads(text)[0], newick.dumps),
    ("dendropy", "dendropy"): (
        lambda text: dendropy.Tree.get(data=text, schema="newick", rooting="force-rooted"),
        lambda tree: tree.as_string("newick", suppress_rooting=True, preserve_spaces=True),
    ),
    ("ete4", "ete4"): (
        lambda text: ete4.Tree(text, parser=1),
        lambda tree: tree.write(parser=make_parser(1, dist="%r"), format_root_node=True),
    ),
    ("Bio.Phylo", "biopython"): (lambda text: Phylo.read(io.StringIO(text), "newick"), write_biopython),
    ("scikit-bio", "scikit-bio"): (lambda text: skbio.TreeNode.read(io.StringIO(text), format="newick"), write_skbio),
    ("treeswift", "treeswift"): (treeswift.read_tree_newick, lambda tree: tree.newick()),
}


def main():
    warnings.simplefilter("ignore")
    ours = {name: TaskTree.from_newick(text).newick() for name, text in TREES.items()}
    print("# What other programs write of trees that TaskTree.newick wrote; made by newick_by_others.py.\n")
    print("[trees]")
    for name, text in ours.items():
        print(f"{json.dumps(name)} = {json.dumps(text, ensure_ascii=False)}")
    for (program, package), (read, write) in PROGRAMS.items():
        print(f"\n[programs.{json.dumps(program)}]\nversion = {json.dumps(version(package))}")
        for name, text in ours.items():
            try:
                made = write(read(text)).strip()
            except Exception as error:  # what it cannot read or write is part of the result
                made = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            print(f"{json.dumps(name)} = {json.dumps(made, ensure_ascii=False)}")


if __name__ == "__main__":
    main()
