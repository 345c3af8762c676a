"""Which keys are one image, against a search over the graph of links."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from vlmt_cli.base.identity import HOW, LINKS, RELATIONS, flickr30k_links, links_table, same_image

NAMES = [f"{source}:{i}" for source in ("coco", "vg", "flickr") for i in range(6)]


def reachable(start, links, believed):
    """Every name that links of the believed relations join to ``start``."""
    found, frontier = {start}, [start]
    while frontier:
        name = frontier.pop()
        for image, alias, relation in links:
            if relation in believed:
                for one, other in ((image, alias), (alias, image)):
                    if one == name and other not in found:
                        found.add(other)
                        frontier.append(other)
    return found


@given(
    keys=st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
    links=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(RELATIONS)), max_size=15),
)
def test_equal_numbers_mean_joined_by_links(keys, links):
    table = pa.Table.from_pylist([dict(zip(LINKS.names, link, strict=True)) for link in links], schema=LINKS)
    numbers = same_image(pa.array(keys), table)
    for level, how in enumerate(HOW):
        for i, one in enumerate(keys):
            same = reachable(one, links, HOW[1 : level + 1])
            for j, other in enumerate(keys):
                assert (numbers[how][i] == numbers[how][j]) == (other in same)


def test_a_flickr30k_key_is_its_photo():
    keys = pa.array(["flickr30k:77", "vg:1", "coco:77"])
    links = links_table(pa.array(["vg:1", "coco:5"]), pa.array(["flickr:77", None]), "flickr")
    assert links.num_rows == 1
    numbers = same_image(keys, pa.concat_tables([links, flickr30k_links(keys)]))
    assert numbers["crosswalk"].tolist() == numbers["id"].tolist()
    flickr = numbers["flickr"].tolist()
    assert flickr[0] == flickr[1] != flickr[2]
