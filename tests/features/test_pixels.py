"""The extractor for drawn pictures, on a synthetic world whose scenes are known."""

import time

import numpy as np
import pytest
from PIL import Image

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.images import open_image
from vlmt_cli.features.pixels import CLUSTERS, WIDTH, pixels_extractor, sample_clusters
from vlmt_cli.features.proposals import MOST_PROPOSALS
from vlmt_cli.features.record import problem
from vlmt_cli.miniworld.draw import cover_box
from vlmt_cli.miniworld.plan import make_plan
from vlmt_cli.miniworld.sizes import Sizes
from vlmt_cli.miniworld.world import draw_images


def iou(a, b):
    """Intersection over union of every two boxes, (A, B)."""
    corners = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(corners[1] - corners[0], 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def boxes_of(things):
    return np.array([[x, y, x + width, y + height] for x, y, width, height in (thing.box for thing in things)], float)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The scenes of a small world with the regions that were found in their pictures."""
    folder = tmp_path_factory.mktemp("images")
    plan = make_plan(Sizes().scaled(0.05), seed=0)
    draw_images(plan, folder)
    paths = {f"{source}:{stem}": folder / source / f"{stem}.png" for source, stem in plan.files()}
    extractor = pixels_extractor(sample_clusters(folder / "clusters.npy", [(k, str(p)) for k, p in paths.items()]))
    scenes = [plan.scenes[photo] for photo in plan.files().values()]
    regions = [extractor.regions([extractor.prepare(open_image(str(path)))], [None])[0] for path in paths.values()]
    return list(zip(scenes, regions, strict=True))


def test_regions_are_sound(world):
    for _, regions in world:
        assert problem(regions) is None
        assert 8 <= len(regions.boxes) <= MOST_PROPOSALS
        assert regions.features.shape == (len(regions.boxes), WIDTH)
        assert regions.scores.shape == (len(regions.boxes), CLUSTERS)
        np.testing.assert_allclose(regions.scores.sum(1), 1, rtol=1e-5)


def test_every_thing_and_panel_has_a_good_box(world):
    things = np.concatenate([iou(boxes_of(scene.things), regions.boxes).max(1) for scene, regions in world])
    panels = [iou(np.array([cover_box(s.cover)], float), r.boxes).max() for s, r in world if s.cover]
    assert np.mean(things > 0.5) > 0.99
    assert len(panels) > 30 and np.mean(np.array(panels) > 0.5) > 0.99


def test_boxes_overlap_as_a_detectors_do(world):
    partners, good, poor = [], [], []
    for scene, regions in world:
        own = iou(regions.boxes, regions.boxes) - np.eye(len(regions.boxes))
        partners.append((own > 0.4).any(1).mean())
        with_things = iou(boxes_of(scene.things), regions.boxes)
        good += list((with_things > 0.5).sum(1))
        poor += list(((with_things > 0.1) & (with_things <= 0.5)).sum(1))
    assert np.mean(partners) > 0.8
    assert np.mean(np.array(good) >= 2) > 0.9  # several right answers
    assert np.mean(np.array(poor) >= 1) > 0.6  # and near ones that are wrong


def probe(inputs, labels):
    """Fit a ridge regression on one half and return the accuracy on the other."""
    classes, targets = np.unique(labels, return_inverse=True)
    inputs, half = np.c_[inputs, np.ones(len(inputs))].astype(float), len(inputs) // 2
    one_hot = np.eye(len(classes))[targets[:half]]
    gram = inputs[:half].T @ inputs[:half] + 0.01 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs[:half].T @ one_hot)
    return np.mean((inputs[half:] @ weights).argmax(1) == targets[half:])


def test_features_and_class_scores_tell_of_what_is_seen(world):
    rows = [
        (thing, regions.features[best], regions.scores[best])
        for scene, regions in world
        for thing, best in zip(scene.things, iou(boxes_of(scene.things), regions.boxes).argmax(1), strict=True)
    ]
    clear = [row for row in rows if row[0].other_colour is None]  # others go by either of two names
    assert probe(np.stack([f for _, f, _ in clear]), [thing.colour for thing, _, _ in clear]) > 0.95
    assert probe(np.stack([f for _, f, _ in rows]), [thing.shape for thing, _, _ in rows]) > 0.9
    assert probe(np.stack([f for _, f, _ in rows]), [thing.size for thing, _, _ in rows]) > 0.9
    assert probe(np.stack([s for _, _, s in clear]), [thing.colour for thing, _, _ in clear]) > 0.7
    assert probe(np.stack([s for _, _, s in rows]), [thing.shape for thing, _, _ in rows]) > 0.4


def test_features_do_not_tell_the_place(world):
    scene, _ = world[0]
    picture = np.full((128, 160, 3), 230, np.uint8)
    picture[20:40, 30:55] = picture[80:100, 100:125] = scene.things[0].rgb
    extractor = pixels_extractor(np.zeros((2, WIDTH), np.float32))
    boxes = np.array([[29, 19, 56, 41], [99, 79, 126, 101]], np.float32)
    regions = extractor.regions([extractor.prepare(Image.fromarray(picture))], [boxes])[0]
    np.testing.assert_array_equal(regions.features[0], regions.features[1])
    np.testing.assert_array_equal(regions.boxes, boxes)


def test_any_picture_has_a_region():
    extractor = pixels_extractor(np.zeros((2, WIDTH), np.float32))
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((40, 30, 3), 7, np.uint8), noise):
        regions = extractor.regions([extractor.prepare(Image.fromarray(pixels))], [None])[0]
        assert problem(regions) is None


def test_is_quick(world):
    extractor = pixels_extractor(np.zeros((CLUSTERS, WIDTH), np.float32))
    pixels = np.full((128, 160, 3), 230, np.uint8)
    for i in range(5):
        pixels[10:30, 30 * i : 30 * i + 20] = 40 * i
    began = time.process_time()
    for _ in range(50):
        extractor.regions([extractor.prepare(Image.fromarray(pixels))], [None])
    assert time.process_time() - began < 50 / 75  # 290 a second on an idle core, with decoding


def test_clusters_are_made_once_and_damaged_ones_named(tmp_path, world):
    path, photo = tmp_path / "clusters.npy", tmp_path / "1.png"
    Image.fromarray(np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 255).save(photo)
    first = sample_clusters(path, [("coco:1", str(photo))])
    photo.unlink()
    np.testing.assert_array_equal(sample_clusters(path, [("coco:1", str(photo))]), first)
    path.write_bytes(b"no clusters")
    with pytest.raises(DataError, match="clusters of crops"):
        sample_clusters(path, [("coco:1", str(photo))])
    path.unlink()
    with pytest.raises(DataError, match="none of the photos can be read"):
        sample_clusters(path, [("coco:1", str(photo))])
