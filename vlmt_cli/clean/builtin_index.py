"""The index that is built in: what is public of today's benchmarks, ids alone.

``python -m vlmt_cli.clean.builtin_index LISTS`` makes ``datasets/builtin_index.parquet`` from a folder of lists:
``NAME.txt`` with an image key a line, and ``vg_coco.tsv`` with a Visual Genome key and its COCO key a line. Who
published a list, and under which licence, stands with each benchmark here.
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import links_table
from vlmt_cli.base.opening import read_file
from vlmt_cli.clean.index import Benchmark, Index, image_rows, make_index
from vlmt_cli.clean.index_file import read_index, write_index
from vlmt_cli.datasets.crosswalks import BUILTIN

CROSSWALK = "vg_coco.tsv"

_BUA = ("peteanderson80/bottom-up-attention", "MIT")
_LLAVA = ("haotian-liu/LLaVA", "Apache-2.0")
_POPE = ("RUCAIBox/POPE", "MIT")
_NLVR = ("lil-lab/nlvr", "CC BY 4.0")
_NOCAPS = ("yuchen-xu/10707-nocaps", "none stated")
_GUESSWHAT = ("shekharRavi/Beyond-Task-Success-NAACL2019", "BSD")
_AOKVQA = ("Zachary-Wenhao/MLLM-AOKVQA", "Apache-2.0")
_VSR = ("cambridgeltl/visual-spatial-reasoning", "Apache-2.0")
_UNC = ("mikelmrtinez/ReferringExpression-COCO-VILBERT", "MIT")


def _row(
    title: str,
    origin: tuple[str, str],
    of: int,
    coco_split: str | None = None,
    *,
    family: str,
    is_scored: bool = True,
    missing: tuple[str, ...] = (),
    replaced_by: tuple[str, ...] = (),
) -> Benchmark:
    return Benchmark(title, family, *origin, of, is_scored, coco_split, missing, replaced_by)


LISTS = {
    "vqa-test": ("test2015_vqa", _row(
        "VQA v2 test", ("SinghJasdeep/Attention-on-Attention-for-VQA", "MIT"), 81_434, "test2015", family="vqa")),
    "coco-test": ("karpathy_test", _row("COCO captions, Karpathy test", _BUA, 5_000, "val2014", family="coco")),
    "coco-val": ("karpathy_val", _row(
        "COCO captions, Karpathy val", _BUA, 5_000, "val2014", family="coco", is_scored=False)),
    "coco2017-val": ("coco_val2017", _row(
        "COCO 2017 val", ("BowieHsu/EfficientTeacher", "none stated"), 5_000, "val2014", family="coco2017")),
    "flickr30k-test": ("flickr30k_karpathy_test", _row(
        "Flickr30k, Karpathy test", ("multi30k/dataset", "none stated"), 1_000, family="flickr30k")),
    "refcoco-test": ("refcoco_test_unc", _row(
        "RefCOCO testA and testB", _UNC, 1_500, "train2014", family="refcoco",
        replaced_by=("refcoco-testA", "refcoco-testB"))),
    "refcoco+-test": ("refcoco_test_unc", _row(
        "RefCOCO+ testA and testB", _UNC, 1_500, "train2014", family="refcoco+",
        replaced_by=("refcoco+-testA", "refcoco+-testB"))),
    "refcocog-test": ("refcocog_umd_test", _row(
        "RefCOCOg umd test", ("aws/aws-refcocog-adv", "CC BY 4.0"), 2_600, "train2014", family="refcocog",
        missing=("put refs(umd).p and instances.json below raw/refcocog and run vlmt index add refcocog",))),
    "refcocog-google-val": ("refcocog_google_val", _row(
        "RefCOCOg google val", ("mjhucla/Google_Refexp_toolbox", "CC BY 4.0"), 4_650, "train2014", family="refcocog",
        is_scored=False)),
    "refer-val-test": ("refer_all_val_test_union", _row(
        "RefCOCO, RefCOCO+ and RefCOCOg, val and test", ("amazon-science/polygon-transformer", "Apache-2.0"), 10_113,
        "train2014", family="refer", is_scored=False)),
    "visual7w-test": ("visual7w_test_valse_part", _row(
        "Visual7W test", ("Heidelberg-NLP/VALSE", "MIT"), 7_780, family="visual7w",
        missing=("put dataset_v7w_pointing.json below raw/visual7w and run vlmt index add visual7w",))),
    "guesswhat-test": ("guesswhat_test", _row("GuessWhat test", _GUESSWHAT, 9_899, "trainval2014", family="guesswhat")),
    "guesswhat-val": ("guesswhat_valid", _row(
        "GuessWhat valid", _GUESSWHAT, 9_844, "trainval2014", family="guesswhat", is_scored=False)),
    "gqa-testdev": ("gqa_testdev_balanced", _row("GQA testdev", _LLAVA, 398, family="gqa")),
    "nlvr2-test": ("nlvr2_test1", _row(
        "NLVR2 test1", _NLVR, 8_082, family="nlvr2",
        missing=("test2 is not in the list; put test2.json below raw/nlvr2 and run vlmt index add nlvr2",))),
    "nlvr2-val": ("nlvr2_dev", _row("NLVR2 dev", _NLVR, 8_102, family="nlvr2", is_scored=False)),
    "snli_ve-test": ("snli_ve_test", _row(
        "SNLI-VE test", ("necla-ml/SNLI-VE", "BSD-2-Clause"), 1_000, family="snli_ve")),
    "pope": ("pope_coco", _row("POPE on COCO", _POPE, 500, "val2014", family="pope")),
    "pope-aokvqa": ("pope_seem_aokvqa", _row("POPE on A-OKVQA", _POPE, 500, "val2014", family="pope")),
    "pope-gqa": ("pope_seem_gqa", _row("POPE on GQA", _POPE, 500, family="pope")),
    "okvqa-val": ("okvqa_val", _row("OK-VQA val", ("microsoft/PICa", "CC BY 4.0"), 5_033, "val2014", family="okvqa")),
    "aokvqa-val": ("aokvqa_val", _row("A-OKVQA val", _AOKVQA, 1_122, "val2014", family="aokvqa")),
    "aokvqa-test": ("aokvqa_test", _row("A-OKVQA test", _AOKVQA, 6_030, "test2015", family="aokvqa")),
    "textvqa-val": ("textvqa_val", _row("TextVQA and TextCaps val", _LLAVA, 3_166, family="textvqa")),
    "nocaps-val": ("nocaps_val", _row("NoCaps val", _NOCAPS, 4_500, family="nocaps")),
    "nocaps-test": ("nocaps_test", _row("NoCaps test", _NOCAPS, 10_600, family="nocaps")),
    "mme": ("mme_names", _row("MME", _LLAVA, 1_177, "val2014", family="mme")),
    "vizwiz-test": ("vizwiz_test", _row("VizWiz VQA test", _LLAVA, 8_000, family="vizwiz")),
    "sugarcrepe": ("sugarcrepe", _row(
        "SugarCrepe", ("RAIVNLab/sugar-crepe", "MIT"), 1_560, "val2014", family="sugarcrepe")),
    "vsr-random-test": ("vsr_random_test", _row("VSR random test", _VSR, 1_874, "trainval2014", family="vsr")),
    "vsr-zeroshot-test": ("vsr_zeroshot_test", _row("VSR zero-shot test", _VSR, 715, "trainval2014", family="vsr")),
    "valse": ("valse", _row("VALSE", ("Heidelberg-NLP/VALSE", "MIT"), 6_768, "trainval2014", family="valse")),
    "bua-val": ("bua_val", _row(
        "Visual Genome, val of bottom-up attention's detector", _BUA, 5_000, family="bua", is_scored=False)),
    "bua-test": ("bua_test", _row(
        "Visual Genome, test of bottom-up attention's detector", _BUA, 5_000, family="bua", is_scored=False)),
}  # fmt: skip
"""By benchmark: the list that it comes from, and what is true of it."""


@cache
def builtin_index() -> Index:
    """Read the index that is built in."""
    return read_index(BUILTIN)


def make_builtin_index(lists: Path) -> Index:
    """Make the index from a folder of lists.

    Raises:
        DataError: a list cannot be read, or a line of it is not an image.
    """
    from vlmt_cli.mixtures.names import keys_of

    rows = [
        image_rows(name, _keys(lists / f"{file}.txt", lambda keys: keys_of(keys).keys))
        for name, (file, _) in LISTS.items()
    ]
    crosswalk = pa.csv.read_csv(
        lists / CROSSWALK,
        read_options=pa.csv.ReadOptions(column_names=["vg", "coco"]),
        parse_options=pa.csv.ParseOptions(delimiter="\t"),
    ).combine_chunks()
    links = links_table(crosswalk["vg"].combine_chunks(), crosswalk["coco"].combine_chunks(), "crosswalk")
    return make_index({name: benchmark for name, (_, benchmark) in LISTS.items()}, pa.concat_tables(rows), links)


def _keys(path: Path, keys_of: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Read a list of image keys; MME's names are ``mme:folder/file.jpg`` there."""
    try:
        names = pa.array(read_file(path).decode().split(), pa.string())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as a list of images ({error})", where=path) from error
    keys = keys_of(pc.replace_substring_regex(names, r"^(mme):", r"\1/"))
    if keys.null_count:
        raise DataError("has a line that is not an image", where=f"{path}:{keys.is_null().index(True).as_py() + 1}")
    return keys


if __name__ == "__main__":
    write_index(BUILTIN, make_builtin_index(Path(sys.argv[1])))
