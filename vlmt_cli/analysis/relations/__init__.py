"""Which tasks help each other: pairs, triples, ablations, affinity, overlap, and the sweeps of runs behind them."""
