"""Records in JSON gathered into a batch: their ids, the images that they show, where they stand."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from vlmt_cli.mixtures.batch import IMAGES, Batch, Damaged, Wanted
from vlmt_cli.mixtures.json_elsewhere import images_elsewhere, may_show_images
from vlmt_cli.mixtures.json_image import SHORTEST_EMBEDDED, Image, with_id
from vlmt_cli.mixtures.json_images import (
    decoded,
    images_in,
    images_of,
    names_images,
    own_id,
    packed_in,
    texts_in,
    videos_in,
)
from vlmt_cli.mixtures.json_records import Window
from vlmt_cli.mixtures.json_values import Spans
from vlmt_cli.mixtures.plain_records import Plain, rows_to_search, spans_of, turns_of

_MARK = b"<image>"


@dataclass
class Rows:
    """The records and images of a batch that is being read; ``are_images`` where a record's own id is its image's."""

    wanted: Wanted
    first: int = 0
    are_images: bool = False
    fields: tuple[str, ...] = ()  # of images, as the list that names the file calls them
    record: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    others: list[tuple[int, Image]] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    spans: list[Spans] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    videos: int = 0
    unmet: int = 0

    def add_window(self, window: Window) -> None:
        """Add the records of a window; those that cannot be read are counted as damaged."""
        spans = None
        if window.quick is None or window.text is None:
            for number, text in enumerate(window.records, window.first):
                self._add(number, text)
        else:
            spans = self._add_plain(window, window.quick, window.text)
        if self.wanted.spans:
            self.spans.append(window.spans if spans is None else spans)

    def _add_plain(self, window: Window, records: list[Plain], text: memoryview) -> Spans | None:
        """Add records of LLaVA's usual form, together but for those that show images in unusual ways.

        Returns:
            Where they stand; None where that must be looked for.
        """
        turns = turns_of(records, text)
        names = [each.image for each in records]
        ids = [each.id if each.id is None else str(each.id) for each in records]
        written = [name for name in names if name is not None]
        is_plain = ":" not in "".join(written) and max(map(len, written), default=1) <= SHORTEST_EMBEDDED
        unusual = set() if is_plain and all(written) else {row for row, name in enumerate(names) if not _is_plain(name)}
        to_search = rows_to_search(text, turns).tolist()
        unusual.update(row for row in to_search if names_images(records[row].conversations))
        bare = ((row, *turns[row].tolist()) for row, name in enumerate(names) if name is None)
        unusual.update(row for row, start, end in bare if may_show_images(bytes(text[start:end])))
        if self.wanted.texts and self.wanted.texts_of is not None:
            rows = {number - window.first for number in self.wanted.texts_of}
            unusual |= rows & set(range(len(records)))
        start = 0
        for row in [*sorted(unusual), len(records)]:
            shown = [n for n, name in enumerate(names[start:row], window.first + start) if name is not None]
            self.record += shown
            self.position += [0] * len(shown)
            self.names += [name for name in names[start:row] if name is not None]
            self.ids += ids[start:row]
            self.texts += [[]] * (row - start)
            if row < len(records):
                self._add(window.first + row, window.records[row])
            start = row + 1
        spans = spans_of(text, turns) if self.wanted.spans else None
        return None if spans is None else spans + window.offset

    def _add(self, number: int, text: bytes | memoryview) -> None:
        images: list[Image] = []
        own, said = None, []
        try:
            for place, part in enumerate(decoded(text)):
                shown = self._in_fields(text, place) if self.fields else []
                shown += [image for image in images_in(part, self.wanted.data) if image not in shown]
                images += shown or self._elsewhere(text, place)
                self.videos += videos_in(part)
                own = own_id(part) if own is None else own
                if self.wanted.texts and (self.wanted.texts_of is None or number in self.wanted.texts_of):
                    said += texts_in(part)
            if self.are_images and own is not None and len(images) < 2:
                images = [with_id(images[0] if images else Image(), own)]
        except ValueError as error:
            images = []
            self.damaged.append(Damaged(number, str(error)))
        else:
            self.unmet += not images and _MARK in bytes(text)
        self.ids.append(own)
        self.texts.append(said)
        self.record += [number] * len(images)
        self.position += range(len(images))
        self.others += [(row, image) for row, image in enumerate(images, len(self.names)) if any(image[1:])]
        self.names += [image[0] for image in images]

    def _in_fields(self, text: bytes | memoryview, place: int) -> list[Image]:
        """Return the images of a record, or of one of those packed in it, in the fields that a list names."""
        record = packed_in(bytes(text))[place]
        return [image for name in self.fields for image in images_of(record.get(name), self.wanted.data)]

    def _elsewhere(self, text: bytes | memoryview, place: int) -> list[Image]:
        """Return the images of a record, or of one of those packed in it, that no known field shows."""
        text = bytes(text)
        if not may_show_images(text):
            return []
        return images_elsewhere(packed_in(text)[place], self.wanted.data)

    def batch(self) -> Batch:
        """Return the batch of the records that were added."""
        arrays = {
            "record": pa.array(self.record, pa.int64()),
            "position": pa.array(self.position, pa.int32()),
            "name": pa.array(self.names, pa.string()),
        }
        for number, kind in enumerate(("url", "sha256", "md5", "data", "also") if self.others else (), 1):
            values: list[Any] = [None] * len(self.names)
            for row, image in self.others:
                values[row] = image[number] or None
            if any(value is not None for value in values):
                arrays[kind] = pa.array(values, IMAGES.field(kind).type)
        return Batch(
            self.first,
            len(self.ids),
            pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays)),
            pa.array(self.ids, pa.string()),
            pa.array(self.texts, pa.list_(pa.string())) if self.wanted.texts else None,
            spans=np.concatenate(self.spans) if self.spans else None,
            videos=self.videos,
            unmet=self.unmet,
            damaged=tuple(self.damaged),
        )


def _is_plain(name: str | None) -> bool:
    """Whether a name is a path, and neither an address nor a file in base64."""
    return name is None or (0 < len(name) <= SHORTEST_EMBEDDED and ":" not in name[:8])
