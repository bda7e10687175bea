"""Trees of languages from files and from URIEL+: what is read, where languages are found, what is pooled."""

import csv
import hashlib
import itertools
import logging
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from small_world import complaint

from minimeta.text import nexus, phylogeny
from minimeta.text.languages import XNLI, language
from minimeta.text.phylogeny import KINDS, load, uriel
from minimeta.trees import TaskTree

REAL = Path(__file__).parents[2] / "shared" / "real" / "trees"
real = pytest.mark.skipif(not REAL.exists(), reason="the real trees are not in shared/real beside this checkout")


@pytest.fixture
def written(tmp_path):
    """Write a file and give its path."""

    def write(text, name="my.trees"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def in_trees(*lines):
    return "\n".join(["#NEXUS", "", "Begin trees;", *lines, "End;", ""])


def plain(node):
    return node.name, node.length, [plain(child) for child in node.children]


BEAST = in_trees(
    "\tTranslate",
    "\t\t   1 Swahili_G42,",
    "\t\t   2 'Zulu (S42)',",
    "\t\t   3 O'odham,",
    "\t\t   4 'Nda''nda'",
    ";",
    "tree TREE1 [&lnP=-7.0,posterior=-9.5] = [&R] (((1[&rate=0.1]:2.0E2,2[&height_95%_HPD={0.0,1.0}]:200)[&posterior=1]"
    ":1e2,3:[&r=2]300.0)1[it's [nested; too]]:0.5,4:400);",
)
BEAST_READ = "(((Swahili_G42:200.0,'Zulu (S42)':200.0):100.0,'O''odham':300.0)1:0.5,'Nda''nda':400.0);"
TAXA = "#NEXUS\nbegin taxa;\n dimensions ntax=2;\n taxlabels 'x y' [the other] b_c;\nend;\n"
OTHERS = "#NEXUS\nbegin paup; set x=\"a;b\"; end;\nbegin data; matrix\n a 01\n 'b;' 10; end;\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BEAST, BEAST_READ),
        (BEAST.replace("\n", "\r\n"), BEAST_READ),
        ("\ufeff" + BEAST, BEAST_READ),
        (BEAST.replace("#NEXUS", "\n #nexus\n[made by 'hand]").replace("Begin trees", "BEGIN TREES"), BEAST_READ),
        ("(a,(b,c)x:1)r;\n\n", "(a,(b,c)x:1.0)r;"),
        ("\ufeff[&R] (a, b_c)\r\n;\r\n[end]\r\n", "(a,b_c);"),
        (in_trees("tree * x.1-2 = [&U] ('a b',b_c);"), "('a b',b_c);"),
        (in_trees("tree 'a = b' = (a:1,\n b:2)\n'in ner':3;"), "(a:1.0,b:2.0)'in ner':3.0;"),
        (in_trees("utree u = (a,b);"), "(a,b);"),
        ("#NEXUS\nbegin trees;\ntree one=(a,b);", "(a,b);"),  # nobody closes the block
        (
            in_trees("translate 1 A/B, 2 C+D, 3 'Are'are, 4 Old Irish;", "tree t = ((1,2),(3,4));"),
            "((A/B,C+D),('''Are''are','Old Irish'));",
        ),
        # Without TRANSLATE, numbers are those of the taxa.
        (TAXA + in_trees("tree a = (2,1);")[7:], "(b_c,'x y');"),
        # At an inner node, a number that a leaf has as well is support, and one that no leaf has is a label.
        (in_trees("translate 1 a, 2 b, 3 c, 9 d;", "tree t = ((1,2)2,(9)3);"), "((a,b)2,(d)c);"),
        # Where leaves are written in full, all numbers at inner nodes are.
        (in_trees("translate 1 a, 2 b, 3 c, 4 d;", "tree t = ((a,b)1,(c,d)0.9);"), "((a,b)1,(c,d)0.9);"),
        (TAXA + in_trees("translate b_c b_c, 'x y' 'x y';", "tree a = (('x y',b_c)1);")[7:], "(('x y',b_c)1);"),
        (in_trees("translate A Proto;", "tree t = ((a,b)A,c);"), "((a,b)Proto,c);"),
        (OTHERS + in_trees("tree a=(a,b);")[7:], "(a,b);"),
    ],
)
def test_what_real_files_have_is_read(written, text, expected):
    assert plain(load(written(text)).tree) == plain(TaskTree.from_newick(expected))


def test_all_trees_of_a_file_are_found():
    text = in_trees("translate 1 a, 2 b;", "tree x = (1,2);", "tree y = (2,1);") + in_trees("tree z = (1,2);")[7:]
    found = nexus.find(text)
    assert [tree.name for tree in found] == ["x", "y", "z"]
    assert found[1].labels == {"1": "a", "2": "b"} and found[2].labels == {}
    assert [tuple(tree) for tree in nexus.find("(a,'b;');\n[x;]c;")] == [("1", "(a,'b;');", {}), ("2", "c;", {})]


def test_one_of_several_trees_is_chosen_by_name(written):
    several = written(in_trees("tree x = (de,en);", "tree y = (en,de);"))
    assert load(several, which="y").of(["de", "en"]).newick() == "(en,de);"
    complaint(lambda: load(several), "holds 2 trees (x, y) over the same leaves, and a run follows one; save")
    complaint(lambda: load(several, which="z"), "has no tree 'z'; it has x, y.")
    assert load(written("(de,en);(en,de);"), which="2").of(["de", "en"]).newick() == "(en,de);"


def test_families_in_one_file_are_put_below_one_root(written):
    """As in Glottolog's own file, a tree a line; isolates are trees of one leaf."""
    families = (
        "(('Danish [dani1285][dan]-l-':1,'Swedish [swed1254][swe]-l-':1)'North Germanic [nort3160]':1,('Bavarian "
        "[bava1246][bar]-l-':1)'German [stan1295][deu]-l-':1)'Germanic [germ1287]':1;\n'Basque [basq1248][eus]-l-':1;\n"
        "('Turkish [nucl1301][tur]-l-':1,'O''ther [xxxx1234]':1)'Turkic [turk1311]':1;\n"
    )
    tree = load(written(families)).of(["da", "sv", "de", "eu", "tr"])
    assert (
        tree.newick()
        == "(((da:1.0,sv:1.0)'North Germanic [nort3160]':1.0,de:1.0)'Germanic [germ1287]':1.0,eu:1.0,tr:2.0);"
    )
    assert load(written(families), which="2").has(["da", "eu"]) == ("eu",)


def test_a_posterior_sample_is_refused_soon(written):
    tree = "(" * 400 + "a" + "".join(f"[&rate=0.1]:1,b{i}:1)" for i in range(400))
    sample = written(in_trees(*(f"tree STATE_{n} [&lnP=-1] = [&R] {tree};" for n in range(100))))
    complaint(lambda: load(sample), "holds 100 trees (STATE_0, STATE_1, STATE_2 and 97 more)", "posterior")


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("de", "de"),
        ("de", "deu"),  # a longer code of the same language
        ("deu", "de"),
        ("cmn", "zh"),
        ("zho", "zh"),
        ("zh", "zh-Hant"),
        ("ar", "arb"),  # what the macrolanguage stands for
        ("stan1295", "de"),
        ("mand1415", "zh"),
        ("German", "de"),
        ("gErMaN", "de"),
        ("Modern_Greek", "el"),  # Glottolog's name
        ("'Haitian Creole'", "ht"),
        ("Haitian_Creole", "ht"),
        ("yor", "yo"),
        ("tgl", "tl"),  # of what Unicode calls Filipino
        ("Tagalog", "tl"),
        ("taga1270", "tl"),
        ("tw", "twi"),
        ("khk", "mn"),
        ("mong1331", "mn"),  # Glottolog has a place for this macrolanguage
        ("als", "sq"),
        ("lvs", "lv"),
        ("uzbe1247", "uz"),
        ("'German [stan1295][deu]-l-'", "de"),
        ("'Something else [stan1295]'", "de"),
        ("'Yoruba [yoru1245][yor]-l-'", "yo"),
    ],
)
@pytest.mark.parametrize("inner", [False, True])
def test_a_language_is_found_by_code_or_name(written, label, code, inner):
    tree = f"((dialect1,dialect2){label},other);" if inner else f"(({label},x)y,other);"
    found = load(written(tree))
    assert found.of([code]).newick() == f"{code};"
    assert found.has([code, "fr"]) == (code,)


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("ar", "arz"),
        ("fil", "tl"),
        ("fat", "ak"),
        ("fa", "prs"),
        ("De", "de"),
        ("Germanic", "de"),
        ("0.95", "de"),
        ("es", "en"),
    ],
)
def test_what_is_another_language_is_not_taken_for_it(written, label, code):
    assert load(written(f"(({label},x)y,other);")).has([code]) == ()


def test_codes_come_before_glottocodes_and_names(written):
    """The first way that leads to a node is taken, whatever the later ones say."""
    ways = ["by_hand", "zh", "cmn", "zho", "mand1415", "Chinese"]
    names = written("node,language\nby_hand,zh\n", "names.csv")
    for start in range(len(ways)):
        inner = "".join(f"(x{i}){way}," for i, way in enumerate(ways[start:]))
        found = load(written(f"({inner}fr);"), names if start == 0 else None)
        assert found.tree.children[0].name == ways[start]
        assert found._place("zh") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.csv", 'taxon,glottocode,xd_ids\nGer_1,stan1295,"x, y"\nGreek_ML,,\nEng,en,,\n,,\n\n'),
        ("names.csv", "Ger_1,deu\r\nEng,eng\r\n"),
        ("names.tsv", "node\tlanguage\nGer 1\tde\nEng\ten\tmore"),
        ("names.csv", "taxon;glottocode\nGer_1;stan1295\nEng;stan1293\n"),
        ("names.csv", "Ger_1,DE\rEng,en\r"),
        ("names.txt", "\ufeffGer_1,de\nEng,stan1293\nElsewhere,fr\n"),
    ],
)
def test_a_file_of_names_maps_nodes(written, name, text):
    found = load(written("((Ger_1,Greek_ML)g,Eng,fr);"), written(text, name))
    assert found.of(["en", "de"]).newick() == "(de,en);"
    assert found.has(["el", "de", "fr"]) == ("de", "fr")


def test_a_node_of_the_file_of_names_is_no_other_language(written):
    found = load(written("(German,de,fr);"), written("German,bar\nde,gsw", "names.csv"))
    assert found.has(["de", "bar", "gsw"]) == ("bar", "gsw")


def test_inner_nodes_chains_and_dialects(written):
    tree = "((((d1:1,d2:1)stan1295:2)mode1258:3)germ1287:4,((x:1)stan1293:1,(da1:1)dani1285:2)n:1,z:1)r:9;"
    found = load(written(tree))
    assert found.of(["en", "de", "da"]).newick() == "(de:9.0,(en:1.0,da:2.0)n:1.0)r;"
    # A language with another language below it is a leaf beside that one.
    below = load(written("(((swg,bar)de,en)west,fr)r;")).of(["bar", "de", "fr"])
    assert below.newick() == "((bar,de)de,fr)r;"


def test_of_nodes_with_one_name_above_each_other_the_lowest_is_the_language(written):
    found = load(written("(((Basque,Bizkaian)Basque,x)y,fr);"), written("Bizkaian,es", "names.csv"))
    assert found._place("eu") == 3
    assert found.of(["eu", "es"]).newick() == "(eu,es)Basque;"
    complaint(lambda: load(written("((Basque,x)Basque,Basque,fr);")).of(["eu", "fr"]), "may be 'Basque' and 'Basque'")


@pytest.mark.parametrize(
    ("tree", "names", "languages", "parts"),
    [
        ("(en,fr);", None, ["de", "en", "ar"], ["has no place for de, ar; leave out", "in lines node,language."]),
        ("(en,fr);", None, ["de", "ar"], ["has none of the languages de, ar"]),
        ("(German_ST,fr);", None, ["de", "fr"], ["no place for de", "such as German_ST,de."]),
        (
            "((x,arab1395),macr1273,nort3152);",
            None,
            ["ar", "fr", "de", "sv"],
            ["none of the languages ar, fr, de, sv", "such as arab1395,ar, macr1273,fr, nort3152,de."],
        ),
        ("(('Germanic [germ1287]',hell1234),fr);", None, ["de", "fr"], ["Germanic [germ1287],de"]),
        ("((x,beij1234)y,fr);", None, ["zh", "fr"], ["no place for zh", "such as beij1234,zh."]),  # a dialect
        ("((Hanyu,x),fr);", "Hanyu,beij1234", ["zh", "fr"], ["no place for zh", "such as Hanyu,zh."]),
        ("(en,fr);", "Germann,de\n", ["de", "fr"], ["for de (the file of names says 'Germann', which is no node)"]),
        ("(a,b,fr);", "de,a\nen,b\n", ["de", "en"], ["none of", "(the file of names says 'de', which is no node)"]),
        ("(a,b,fr);", "a,German\n", ["de", "fr"], ["for de (the file of names says 'German', which is no code)"]),
        ("('Arabic, Standard',fr);", "x,yy\n", ["ar", "fr"], ["no place for ar", "Arabic, Standard,ar"]),
        ("(German,fr,de,de);", None, ["de", "fr"], ["de may be 'de' and 'de'", "that is meant"]),
        ("(a,b,fr);", "a,de\nb,deu\n", ["de"], ["de may be 'a' and 'b', says the file of names"]),
        ("(zh,fr);", None, ["zh-Hans", "zh-Hant", "fr"], ["zh-Hans and zh-Hant are one node, 'zh'"]),
        ("(de,fr);", None, ["de", "german"], ["Unknown language 'german'"]),
        ("(de,fr);", None, [], ["Nothing is left"]),
    ],
)
def test_languages_without_a_clear_place_are_one_sentence(written, tree, names, languages, parts):
    names = names and written(names, "names.csv")
    complaint(lambda: load(written(tree), names).of(languages), *parts)


@pytest.mark.parametrize(
    ("text", "names", "parts"),
    [
        ("", None, ["holds no tree"]),
        ("[only a note]", None, ["holds no tree"]),
        (TAXA, None, ["holds no tree", "TREES block"]),
        (in_trees("translate 1 a;"), None, ["holds no tree"]),
        ("(a,b", None, ["my.trees: Not a Newick tree: no closing ';'"]),
        (in_trees("tree t = (a,b;"), None, ["my.trees: Not a Newick tree", "a '(' without its ')'"]),
        (in_trees("tree t = (a,b:x);"), None, ["my.trees: Not a Newick tree", "'x'"]),
        ("(a,[b);", None, ["a '[' without its ']' (character 4)"]),
        (b"(a,\xff);", None, ["no text in UTF-8"]),
        ("(a,b);".encode("utf-16"), None, ["no text in UTF-8"]),
        ("(a,b);", "a\nb\n", ["names.csv is no file of names", "two columns"]),
        ("(a,b);", "", ["names.csv is no file of names"]),
        ("(a,b);", 'a,de\n"b,en\n', ["names.csv is no file of names", "unexpected end"]),  # a quote that never ends
        ("(a,b);", "a,de\n" + 140_000 * "b", ["names.csv is no file of names", "limit"]),
        ("(a,b);", "a,de\na,en\n", ["maps 'a' to de and to en"]),
    ],
)
def test_files_that_cannot_be_used_are_one_sentence(written, text, names, parts):
    path = written(text)
    names = None if names is None else written(names, "names.csv")
    complaint(lambda: load(path, names), *parts)


def test_a_missing_file_is_one_sentence(tmp_path, written):
    complaint(lambda: load(tmp_path / "no.trees"), "no.trees cannot be read (No such file or directory)")
    complaint(lambda: load(tmp_path), "cannot be read (Is a directory)")
    complaint(lambda: load(written("(a,b);"), tmp_path / "no.csv"), "no.csv cannot be read")


def test_what_the_tree_was_made_by(written):
    path, names = written("(a,b);"), written("a,de\n", "names.csv")
    made_by = load(path, names).made_by
    assert made_by["tree"] == "my.trees" and made_by["names"] == "names.csv"
    assert made_by["tree_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made_by["names_sha256"] == hashlib.sha256(names.read_bytes()).hexdigest()
    assert {"minimeta", "langcodes", "urielplus"} <= set(made_by)
    assert "names" not in load(path).made_by


# What the three real files have of XNLI's languages, and what is pooled in them.


@real
@pytest.mark.parametrize(
    ("name", "own", "with_taxa"),
    [
        ("glottolog_indo1319", "en es el bg ru", "en es el bg ru"),
        ("glottolog_global", "en es el bg ru tr vi th zh sw", "en es el bg ru tr vi th zh sw"),
        ("bouckaert_et_al2012", "fr es bg ru hi ur", "en fr es de el bg ru hi ur"),
    ],
)
def test_the_languages_that_real_trees_have(name, own, with_taxa):
    tree, taxa = REAL / f"{name}.trees", REAL / f"{name}.taxa.csv"
    assert load(tree).has(XNLI) == tuple(own.split())
    assert load(tree, taxa).has(XNLI) == tuple(with_taxa.split())
    assert set(load(tree, taxa).of(with_taxa.split()).levels(3).leaves) == set(with_taxa.split())


def lineages(codes):
    """For each language its lineage as Glottolog has it, the family first and its own glottocode last."""
    with (REAL / "glottolog_languages.csv").open(encoding="utf-8") as file:
        rows = {row["glottocode"]: row["lineage"].split("/") for row in csv.DictReader(file)}
    return {code: [*rows[language(code).glottocode], language(code).glottocode] for code in codes}


def pooled(paths, steps):
    """What each of `steps` steps pools, from lineages alone: sets that share an ancestor, one inside the other."""
    groups = {frozenset(paths)} | {frozenset([code]) for code in paths}
    for path in paths.values():
        groups |= {frozenset(code for code in paths if ancestor in paths[code]) for ancestor in path}
    chains = {code: sorted((g for g in groups if code in g), key=len, reverse=True) for code in paths}
    deepest = max(map(len, chains.values())) - 1
    depths = [int(step * deepest / (steps - 1) + 0.5) for step in range(steps)]
    return [{chain[min(depth, len(chain) - 1)] for chain in chains.values()} for depth in depths]


def by_cluster(tree, step):
    clusters = tree.clusters(step)
    return {frozenset(leaf for leaf in clusters if clusters[leaf] == cluster) for cluster in clusters.values()}


@real
@pytest.mark.parametrize("steps", [2, 3, 4])
def test_what_is_pooled_at_each_step_is_what_the_lineages_say(written, steps):
    codes = "bg el en ru es sw th tr vi zh ar fr".split()
    names = written("node,language\narab1395,ar\nmacr1273,fr\n", "names.csv")
    tree = load(REAL / "glottolog_global.trees", names).of(codes)
    assert set(tree.leaves) == set(codes)
    levels = tree.levels(steps)
    assert [by_cluster(levels, step + 1) for step in range(steps)] == pooled(lineages(codes), steps)


@real
@pytest.mark.parametrize("name", ["glottolog_indo1319", "glottolog_global"])
def test_all_levels_of_indo_european_are_what_the_lineages_say(written, name):
    codes = "bg el en ru es fr".split()
    tree = load(REAL / f"{name}.trees", written("macr1273,fr", "names.csv")).of(codes)
    assert tree.depth >= 2
    for steps in range(2, tree.depth + 2):
        levels = tree.levels(steps)
        assert [by_cluster(levels, step + 1) for step in range(steps)] == pooled(lineages(codes), steps)


@real
def test_the_dated_tree_is_cut_through_time():
    tree = load(REAL / "bouckaert_et_al2012.trees", REAL / "bouckaert_et_al2012.taxa.csv")
    levels = tree.of("en fr es de el bg ru hi ur".split()).levels(4, by="length")
    branches = {frozenset(pair) for pair in (["bg", "ru"], ["de", "en"], ["el"], ["es", "fr"], ["hi", "ur"])}
    alone = {frozenset([code]) for code in levels.leaves}
    assert [by_cluster(levels, step) for step in (1, 2, 3, 4)] == [
        {frozenset(levels.leaves)},
        branches,
        branches,
        alone,
    ]
    # Latin ends long before today: it is alone from then on, but no branch of French is.
    old = tree.of(["la", "fr", "es", "en"]).levels(8, "length")
    steps = [next(c for c in by_cluster(old, step) if "la" in c) for step in range(1, 9)]
    assert len(steps[0]) == 4 and len(steps[-2]) == 1 and frozenset(["fr", "es"]) in by_cluster(old, 6)


@real
def test_a_lacking_language_comes_with_its_nearest_ancestor():
    tree = load(REAL / "glottolog_global.trees")
    message = complaint(lambda: tree.of(XNLI), "no place for fr, de, ar, hi, ur;", "macr1273,fr", "arab1395,ar")
    for line in message.split("such as ")[1].rstrip(".").split(", "):
        node, code = line.split(",")
        assert node in lineages([code])[code]


# Trees from URIEL+ distances.


def test_uriel_kinds_and_their_trees():
    codes = [code for code in XNLI if code not in ("ar", "ur")]
    for kind in KINDS:
        tree = uriel(codes, kind)
        assert set(tree.leaves) == set(codes) and {len(node.children) for node in tree.nodes} == {0, 2}
    branches = {leaf: language(leaf).branch for leaf in XNLI}
    assert uriel(XNLI, "genetic").purity(branches) == 1 > uriel(XNLI, "geographic").purity(branches)


@pytest.mark.parametrize("kind", ["genetic", "syntactic", "geographic", "featural"])
def test_distances_are_those_of_urielplus(kind):
    codes, three = ["en", "zh", "sw", "el", "eu"], ["eng", "cmn", "swh", "ell", "eus"]
    with phylogeny._quiet():
        theirs = np.array(phylogeny._uriel().new_distance(kind, three))
    one, other = min(itertools.combinations(range(5), 2), key=lambda pair: theirs[pair])
    for pair in itertools.combinations(range(5), 2):
        tree = uriel([codes[i] for i in pair], kind)
        assert tree.children[0].length == pytest.approx(theirs[pair], abs=6e-5)  # they round to 4 digits
    (first,) = [node for node in uriel(codes, kind).nodes if set(node.leaves) == {codes[one], codes[other]}]
    assert first.children[0].length == pytest.approx(theirs[one, other], abs=6e-5)


def test_small_trees_of_distances():
    assert uriel(["de"], "syntactic").newick() == "de;"
    assert uriel(["zh", "zh-Hant", "fr"], "genetic").clades() == {frozenset(["zh", "zh-Hant"])}  # one language twice


def test_languages_without_distances_are_named():
    complaint(lambda: uriel(XNLI, "phonological"), "no phonological distance between ar, ur and others")
    complaint(lambda: uriel(["de", "ar"], "phonological"), "no phonological distance")
    complaint(lambda: uriel(["de", "en"], "mythical"), "the kind 'mythical'; choose from genetic")
    complaint(lambda: uriel(["de", "qqq"], "genetic"), "URIEL+ does not know qqq")
    complaint(lambda: uriel([], "genetic"), "0 × 0")


def test_urielplus_says_nothing_and_leaves_logging_alone(capfd, caplog):
    phylogeny._uriel.cache_clear()
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.root.manager.disable
    uriel(["de", "en", "fr"], "syntactic")
    assert (root.handlers[:], root.level, logging.root.manager.disable) == before
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_a_place_where_urielplus_cannot_unpack_is_one_sentence(monkeypatch):
    from urielplus import urielplus

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "/read/only")

    monkeypatch.setattr(urielplus.URIELPlus, "__init__", refuse)
    phylogeny._uriel.cache_clear()
    complaint(lambda: uriel(["de", "en"], "genetic"), "could not unpack", "Permission denied")


def test_the_example_of_the_page_prints_what_stands_there(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[1] / "notebooks" / "own_trees.md").read_text(encoding="utf-8")
    (code, printed) = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.S).groups()
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == printed


def test_the_page_has_the_versions_that_were_asked():
    root = Path(__file__).parents[1]
    page = (root / "notebooks" / "own_trees.md").read_text(encoding="utf-8")
    asked = tomllib.loads((root / "tests" / "data" / "newick_by_others.toml").read_text(encoding="utf-8"))["programs"]
    assert re.findall(r"^\| ([\w.-]+) (\d[\d.]*) \|", page, re.M) == [
        (name, of["version"]) for name, of in asked.items()
    ]
