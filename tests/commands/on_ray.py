"""A Ray cluster of two workers on this machine, and commands of vlmt on it; both end with this process.

python tests/commands/on_ray.py '[["scan", "pool", "--engine", "daft"]]'
"""

import json
import os
import sys

from commands.running import run

from vlmt_cli.clean.scan_daft import QUIET

os.environ.update(QUIET)

import ray
from ray.cluster_utils import Cluster


def main():
    worker = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**worker, "include_dashboard": False})
    try:
        cluster.add_node(**worker)
        os.environ["RAY_ADDRESS"] = cluster.address
        codes = [run(*command) for command in json.loads(sys.argv[1])]
        nodes = sum(node["Alive"] for node in ray.nodes())
    finally:
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps({"codes": codes, "nodes": nodes}))


if __name__ == "__main__":
    main()
