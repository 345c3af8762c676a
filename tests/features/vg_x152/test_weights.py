"""Weights and configs: the released ones are taken whole, everything else is refused in one line."""

import json
import pickle
from dataclasses import replace

import pytest
import torch
from features.vg_x152.tiny import CONFIG, RECORDED, TINY, WEIGHTS, random_released
from safetensors.torch import load_file

from vlmt_cli.base.errors import DataError
from vlmt_cli.features.vg_x152.config import DetectorConfig, read_config
from vlmt_cli.features.vg_x152.weights import ATTRIBUTE_HEAD, fold, read_released, shapes

RELEASED = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  WEIGHT: "catalog://ImageNetPretrained/20171220/X-152-32x8d-IN5k"
  BACKBONE:
    CONV_BODY: "R-152-FPN"
    OUT_CHANNELS: 512
  RPN:
    USE_FPN: True
    ANCHOR_STRIDE: (4, 8, 16, 32, 64)
    PRE_NMS_TOP_N_TRAIN: 2000
    PRE_NMS_TOP_N_TEST: 1000
    POST_NMS_TOP_N_TEST: 1000
    FPN_POST_NMS_TOP_N_TEST: 1000
  ROI_HEADS:
    USE_FPN: True
  ROI_BOX_HEAD:
    POOLER_RESOLUTION: 7
    POOLER_SCALES: (0.25, 0.125, 0.0625, 0.03125)
    POOLER_SAMPLING_RATIO: 2
    FEATURE_EXTRACTOR: "FPN2MLPFeatureExtractor"
    PREDICTOR: "FPNPredictor"
    MLP_HEAD_DIM: 2048
    NUM_CLASSES: 1601
  RESNETS:
    STRIDE_IN_1X1: False
    NUM_GROUPS: 32
    WIDTH_PER_GROUP: 8
SOLVER:
  BASE_LR: 0.005
"""


@pytest.fixture
def tensors():
    return load_file(WEIGHTS)


@pytest.fixture
def write(tmp_path):
    """Write weights, with the recorded config beside them."""
    (tmp_path / "detectron_config.yaml").write_text(CONFIG.read_text())

    def save(content, **options):
        torch.save(content, tmp_path / "detectron_model.pth", **options)
        return tmp_path / "detectron_model.pth"

    return save


def test_all_810_tensors_of_the_released_model():
    wanted = {
        name: tuple(shape) for name, shape in json.loads((RECORDED / "state_dict_shapes.json").read_text()).items()
    }
    assert len(wanted) == 810 and shapes(DetectorConfig()) == wanted


def test_the_known_values_are_those_of_the_yaml(tmp_path):
    (tmp_path / "detectron_config.yaml").write_text(RELEASED)
    assert read_config(tmp_path / "detectron_config.yaml") == DetectorConfig()


def test_what_the_yaml_leaves_out_is_as_the_authors_code_takes_it(tmp_path):
    (tmp_path / "c.yaml").write_text(RELEASED.replace("    FPN_POST_NMS_TOP_N_TEST: 1000\n", ""))
    assert read_config(tmp_path / "c.yaml") == replace(DetectorConfig(), proposals=2000)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("around", ["itself", "checkpoint", "of several GPUs", "twice"])
def test_every_form_of_the_file(write, tensors, around, zipped):
    content = {f"module.{name}": tensor for name, tensor in tensors.items()} if around != "itself" else tensors
    if around != "itself":
        content = {"model": content, "optimizer": {"state": {}}, "scheduler": {"last_epoch": 3}, "iteration": 9}
    if around == "twice":
        content = {"state_dict": {"model": {f"module.{name}": tensor for name, tensor in content["model"].items()}}}
    path = write(content, _use_new_zipfile_serialization=zipped)
    released = read_released(path)
    assert released.config_file == path.with_name("detectron_config.yaml")
    assert set(released.surplus) == ATTRIBUTE_HEAD
    assert released.config.blocks == (1, 2, 3, 1)
    assert {name: tuple(one.shape) for name, one in released.tensors.items()} == shapes(released.config)
    assert all(torch.equal(one, tensors[name]) for name, one in released.tensors.items())


def without(tensors, *names):
    return {name: one for name, one in tensors.items() if name not in names}


CONV, NORM = "backbone.body.layer2.0.conv2.weight", "backbone.body.layer3.0.bn2.running_var"
ANCHORS = "rpn.anchor_generator.cell_anchors.2"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: without(one, NORM), f"1 missing ({NORM}); download"),
        (lambda one: one | {"roi_heads.mask.conv.weight": torch.ones(2)}, "1 unknown (roi_heads.mask.conv.weight)"),
        (lambda one: one | {CONV: one[CONV][:, :2]}, f"1 of another shape ({CONV} [16, 2, 3, 3], not [16, 4, 3, 3])"),
        (lambda one: one | {CONV: one[CONV].long()}, "1 of another shape"),
        (lambda one: one | {ANCHORS: one[ANCHORS] + 1}, "its anchors of level 2 are others"),
        (lambda one: {"weight": torch.ones(3)}, "is not a weights file of this detector, which has"),
        (lambda one: [1, 2], "holds no tensors"),
        (lambda one: {"epoch": 3}, "'epoch' is not a tensor"),
    ],
)
def test_files_that_do_not_fit(write, tensors, change, said):
    path = write(change(tensors))
    with pytest.raises(DataError) as caught:
        read_released(path)
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [(CONV, float("nan")), (NORM, 0.0), (NORM, -1.0)])
def test_weights_that_are_no_numbers(name, value):
    released = random_released()
    released.tensors[name].view(-1)[0] = value
    with pytest.raises(DataError, match=r"random.pth: .* NaN or infinite"):
        fold(released, "cpu", torch.float32)


class Malice:
    def __reduce__(self):
        return print, ("run",)


def test_files_that_are_damaged_or_worse(write, tensors, tmp_path, capsys):
    path = write(tensors)
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"PK\x03\x04", b"<html>404</html>"):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=r"detectron_model.pth: is not an intact file of weights .*; download"):
            read_released(path)
    path.write_bytes(pickle.dumps(Malice()))
    with pytest.raises(DataError, match=r"detectron_model.pth: "):
        read_released(path)
    write({"model": tensors, "extra": Malice()})
    with pytest.raises(DataError, match=r"asks to import print, .*nothing was run"):
        read_released(path)
    with pytest.raises(DataError, match="there is no such file"):
        read_released(tmp_path / "nothing.pth")
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("NUM_GROUPS: 4", "NUM_GROUPS: 2", "of another shape (backbone.body.layer1.0.conv1.weight [8, 8, 1, 1], not"),
        ("NUM_CLASSES: 7", "NUM_CLASSES: 8", "predictor.cls_score.weight [7, 24], not [8, 24]"),
        ("POOLER_RESOLUTION: 7", "POOLER_RESOLUTION: 5", "fc6.weight [24, 588], not [24, 300]"),
        ('"R-TINY-FPN"', '"R-50-FPN"', "missing (backbone.body.layer1.1.conv1.weight"),
        ("(4, 8, 16, 32, 64)", "(8, 16, 32, 64, 128)", "its anchors of level 0 are others than those of"),
        ("    USE_FPN: True\n    ANCHOR", "    ANCHOR", "MODEL.RPN.USE_FPN is False; this detector has True"),
        ('"FPNPredictor"', '"FastRCNNPredictor"', "this detector has FPNPredictor"),
        ('"R-TINY-FPN"', '"R-50-C4"', "CONV_BODY is R-50-C4; this detector has R-152-FPN"),
        ("NUM_CLASSES: 7", "NUM_CLASSES: many", "NUM_CLASSES is 'many', not of the kind of 81"),
        ("POOLER_SAMPLING_RATIO: 2", "POOLER_SAMPLING_RATIO: 0", "is 0, and must be at least 1"),
        ("(0.25, 0.125, 0.0625, 0.03125)", "(0.3,)", "POOLER_SCALES must be powers of two"),
        ("(4, 8, 16, 32, 64)", "(4, 8)", "one number for each of P2 to P6"),
        ("(4, 8, 16, 32, 64)", "wide", "ANCHOR_STRIDE is 'wide', not positive numbers"),
        ("MODEL:", "SOLVER:", "has no section MODEL"),
        ("MODEL:", "MODEL: [", "is not valid YAML"),
    ],
)  # fmt: skip
def test_configs_that_contradict_the_weights_or_are_of_another_detector(write, tensors, old, new, said):
    path = write(tensors)
    config = path.with_name("detectron_config.yaml")
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_released(path)
    assert said in str(caught.value) and "detectron_config.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_the_known_config_does_not_fit_other_weights(tmp_path, tensors):
    torch.save(tensors, tmp_path / "other.pth")
    with pytest.raises(DataError, match="is not a weights file of this detector, which has 810 tensors"):
        read_released(tmp_path / "other.pth")
    assert read_released(tmp_path / "other.pth", CONFIG).config == replace(
        TINY, blocks=(1, 2, 3, 1), shortest=800, longest=1333
    )
