"""Small files in official form, written by hand: one valid set for each dataset, and what tests do with them."""

import copy
import gzip
import json
import pickle

from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.table import CROSSWALKS, DATASETS


class Lines(list):
    """Records that stand one a line."""


class Pickle(list):
    """Records of a Python 2 pickle."""


def write(folder, files):
    """Write files into a folder: bytes as they are, text packed where the name says so, records as their class says."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Pickle):
            content = pickle.dumps(list(content), protocol=2)
        elif isinstance(content, Lines):
            content = "".join(json.dumps(record) + "\n" for record in content)
        elif not isinstance(content, str | bytes):
            content = json.dumps(content)
        if isinstance(content, str):
            content = gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode()
        path.write_bytes(content)
    return folder


def read(name, folder, **options):
    """Read a dataset or crosswalk with the options of its section."""
    everything = Options.model_validate({name: options} if options else {})
    return {**DATASETS, **CROSSWALKS}[name].read(folder, everything)


def rows(examples, split):
    return examples.splits[split].to_pylist()


def links(examples):
    return sorted((row["image"], row["alias"]) for row in examples.links.to_pylist())


def official(name):
    """A copy of a dataset's handmade files, to change and write."""
    return copy.deepcopy(OFFICIAL[name])


def caption(sentid):
    return {"tokens": ["a", "dog"], "raw": f"A dog {sentid}.", "imgid": 0, "sentid": sentid}


def qa(qa_id, image_id):
    return {
        "qa_id": qa_id, "image_id": image_id, "question": f"What is {qa_id}?", "answer": "Green.", "a_objects": []
    }  # fmt: skip


def vqa_pair(part, ids):
    questions = [{"image_id": i // 1000, "question": f"What is {i}?", "question_id": i} for i in ids]
    said = [{"answer": "Two.", "answer_confidence": "yes", "answer_id": n + 1} for n in range(10)]
    annotations = [
        {"question_type": "what", "multiple_choice_answer": "2", "answers": said, "image_id": i // 1000,
         "answer_type": "number", "question_id": i}
        for i in reversed(ids)
    ]  # fmt: skip
    return {
        f"v2_OpenEnded_mscoco_{part}_questions.json": {"info": {}, "questions": questions},
        f"v2_mscoco_{part}_annotations.json": {"info": {}, "annotations": annotations},
    }


def gqa_question(image, answer):
    return {"imageId": image, "question": "Is it?", "answer": answer, "fullAnswer": "...", "groups": {}}


INSTANCES = {
    "info": {},
    "images": [
        {"id": 581857, "file_name": "COCO_train2014_000000581857.jpg", "width": 640, "height": 480,
         "flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg"},
        {"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "width": 640, "height": 480, "flickr_url": ""},
    ],
    "annotations": [
        {"id": 12, "image_id": 581857, "category_id": 3, "bbox": [1, 2, 3, 4], "segmentation": [[1.0]], "iscrowd": 0},
        {"id": 40, "image_id": 9, "category_id": 1, "bbox": [0.5, 0.5, 10, 10], "segmentation": [[1.0]], "iscrowd": 0},
        {"id": 11, "image_id": 581857, "category_id": 1, "bbox": [5, 5, 5, 5], "segmentation": {}, "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car", "supercategory": "vehicle"}],
}  # fmt: skip

REFS = [
    {"ref_id": 0, "ann_id": 11, "category_id": 1, "image_id": 581857, "split": "train", "sent_ids": [0, 1],
     "file_name": "COCO_train2014_000000581857_16.jpg",
     "sentences": [{"sent_id": 0, "sent": "the lady", "raw": "THE LADY!", "tokens": ["the", "lady"]},
                   {"sent_id": 1, "raw": "Woman", "tokens": ["woman"]}]},
    {"ref_id": 1, "ann_id": 40, "category_id": 1, "image_id": 9, "split": "testA", "sent_ids": [2],
     "file_name": "COCO_train2014_000000000009_0.jpg",
     "sentences": [{"sent_id": 2, "sent": "man", "raw": "man", "tokens": ["man"]}]},
    {"ref_id": 2, "ann_id": 12, "category_id": 3, "image_id": 581857, "split": "val", "sent_ids": [3],
     "file_name": "COCO_train2014_000000581857_9.jpg",
     "sentences": [{"sent_id": 3, "sent": "car", "raw": "car", "tokens": ["car"]}]},
]  # fmt: skip

GAME = {
    "dialogue_id": 2400, "status": "success", "picture_id": 489209, "object_id": 17, "questioner_id": 0,
    "picture": {"file_name": "COCO_train2014_000000489209.jpg", "width": 640, "height": 480,
                "flickr_url": "http://farm4.staticflickr.com/3/123_abc_z.jpg"},
    "qas": [{"id": 1, "q": "Is it a person?", "a": "No"}, {"id": 2, "q": " is it red? ", "a": "N/A"}],
    "objects": {"20": {"object_id": 20, "category": "person", "area": 1.0, "bbox": [0, 0, 4, 4], "segment": [[1.0]]},
                "17": {"object_id": 17, "category": "car", "area": 1.0, "bbox": [1, 2, 3, 4], "segment": [[1.0]]}},
}  # fmt: skip

GAME_OF_THE_OTHER_RELEASE = {
    "id": 2400, "status": "success", "object_id": 17,
    "image": {"id": 489209, "file_name": "COCO_train2014_000000489209.jpg", "width": 640, "height": 480,
              "flickr_url": "http://farm4.staticflickr.com/3/123_abc_z.jpg"},
    "qas": [{"id": 1, "question": "Is it a person?", "answer": "No"},
            {"id": 2, "question": " is it red? ", "answer": "N/A"}],
    "objects": [{"id": 20, "category": "person", "area": 1.0, "bbox": [0, 0, 4, 4], "segment": [[1.0]]},
                {"id": 17, "category": "car", "area": 1.0, "bbox": [1, 2, 3, 4], "segment": [[1.0]]}],
}  # fmt: skip

VE_PAIR = {
    "Flikr30kID": "3416050480.jpg", "captionID": "3416050480.jpg#4", "pairID": "3416050480.jpg#4r1c",
    "gold_label": "contradiction", "annotator_labels": ["contradiction"],
    "sentence1": "A rider.", "sentence2": "A diner.",
}  # fmt: skip

NLVR2_PAIR = {
    "identifier": "dev-850-0-0", "sentence": "The left image shows a dog.", "label": "False", "synset": "dog",
    "left_url": "https://a/1.jpg", "right_url": "https://b/2.jpg", "writer": "61", "validation": {"61": "False"},
}  # fmt: skip


def entity(*names, box=None, instead="nobndbox"):
    place = "".join(
        f"<{side}>{at}</{side}>" for side, at in zip(("xmin", "ymin", "xmax", "ymax"), box or (), strict=False)
    )
    place = f"<bndbox>{place}</bndbox>" if box else f"<{instead}>1</{instead}>"
    return "<object>" + "".join(f"<name>{name}</name>" for name in names) + place + "</object>"


def annotation(*objects):
    return f"<annotation><filename>a.jpg</filename><size><width>90</width></size>{''.join(objects)}</annotation>"


OFFICIAL = {
    "vqa": vqa_pair("train2014", [25000, 25001]) | vqa_pair("val2014", [9009, *range(9000, 9009)]),
    "vg_qa": {"question_answers.json": [
        {"id": 1, "qas": [qa(n, 1) for n in range(9, 0, -1)]},
        {"id": 7, "qas": [qa(10, 7)]},
    ]},
    "gqa": {
        "train_balanced_questions.json": {
            f"{n:02}": gqa_question("7", "yes" if n % 3 else "no") for n in range(9, 0, -1)
        },
        "val_balanced_questions.json": {"10": gqa_question("2382986", "no")},
        "testdev_balanced_questions.json": {"01": gqa_question("n161313", "no")},
    },
    "coco": {
        "dataset_coco.json": {
            "dataset": "coco",
            "images": [
                {"filepath": "val2014", "filename": "COCO_val2014_000000391895.jpg", "cocoid": 391895, "imgid": 0,
                 "split": "test", "sentids": [7, 4], "sentences": [caption(7), caption(4)]},
                {"filepath": "val2014", "filename": "COCO_val2014_000000000042.jpg", "cocoid": 42, "imgid": 1,
                 "split": "restval", "sentids": [5], "sentences": [caption(5)]},
                {"filepath": "train2014", "filename": "COCO_train2014_000000000009.jpg", "cocoid": 9, "imgid": 2,
                 "split": "train", "sentids": [6], "sentences": [caption(6)]},
            ],
        }
    },
    "flickr30k": {
        "dataset_flickr30k.json": {
            "dataset": "flickr30k",
            "images": [{"filename": "1000092795.jpg", "imgid": 0, "split": "val", "sentids": [0],
                        "sentences": [caption(0)]}],
        }
    },
    "refcoco": {"refs(unc).p": Pickle(REFS), "instances.json": INSTANCES},
    "refcocog": {"refs(google).p": Pickle(REFS[:1]), "refs(umd).p": Pickle(REFS[2:]), "instances.json": INSTANCES},
    "visual7w": {
        "dataset_v7w_pointing.json": {
            "dataset": "visual7w-pointing",
            "boxes": [{"box_id": i, "name": f"thing {i}", "x": i, "y": 1, "width": 2, "height": 3}
                      for i in (8, 5, 7, 6)],
            "images": [{"image_id": 2372205, "filename": "v7w_2372205.jpg", "split": "train", "qa_pairs": [
                {"qa_id": 1, "image_id": 2372205, "type": "which", "question": "Which is farther left?", "answer": 7,
                 "multiple_choices": [8, 5, 6]}]}],
        }
    },
    "guesswhat": {
        "guesswhat.train.jsonl.gz": Lines([GAME, GAME | {"dialogue_id": 2401, "status": "failure"}]),
        "guesswhat.valid.jsonl": Lines([GAME_OF_THE_OTHER_RELEASE]),
    },
    "snli_ve": {"snli_ve_dev.jsonl": Lines([VE_PAIR])},
    "nlvr2": {"dev.json": Lines([NLVR2_PAIR])},
    "flickr30k_entities": {
        "train.txt": "10\n11\n",
        "Sentences/10.txt": "[/EN#5/people A girl] with [/EN#9/clothing/bodyparts long hair] .\n"
                            "It rains in [/EN#0/notvisual a way] near [/EN#5/people her] and [/EN#7/scene a park] .\n",
        "Annotations/10.xml": annotation(entity(9, 5, box=(1, 1, 9, 9)), entity(5, box=(5, 3, 20, 6)),
                                         entity(7, instead="scene"), entity(6)),
        "Sentences/11.txt": "[/EN#5/other A box]\n",
        "Annotations/11.xml": annotation(entity(5, box=(2, 2, 3, 3))),
    },
    "conceptual_captions": {
        "Train_GCC-training.tsv": 'a "quoted" bus\thttp://a/1\nan odd " mark\t\nworld\'s café\thttp://a/3',
        "Validation_GCC-1.1.0-Validation.tsv": "a dog\thttp://a/4\n",
    },
}  # fmt: skip
