"""Kernel inception distances of features by torch-fidelity and clean-fid, for tests/eval/metrics/kid.c:
    python tests/oracle/kid.py tests/fixtures   (needs torch-fidelity, clean-fid and what they need)
Writes metrics/features: kid_a.npy, kid_b.npy and kid_some.npy, as many rows of kid_a.npy as kid_b.npy has; and kid.txt, two lines: the
distance of kid_some.npy and kid_b.npy as a whole, where both packages agree, and what subsets of kid_a.npy and kid_b.npy have in the mean,
the unbiased estimate of all rows."""
import pathlib, sys
import numpy as np
from cleanfid.fid import kernel_distance
from torch_fidelity.metric_kid import mmd2


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def mean_of_pairs(k):
    return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))


folder = pathlib.Path(sys.argv[1]) / "metrics" / "features"
rng = np.random.default_rng(5)
a = rng.normal(0.3, 1, (40, 8)).astype(np.float32)
y = rng.normal(0, 1.2, (30, 8)).astype(np.float32)
for name, rows in (("kid_a", a), ("kid_b", y), ("kid_some", a[: len(y)])):
    np.save(folder / f"{name}.npy", rows)
a, y = a.astype(np.float64), y.astype(np.float64)
x = a[: len(y)]
whole = mmd2(kernel(x, x), kernel(x, y), kernel(y, y))
clean = kernel_distance(x, y, num_subsets=1, max_subset_size=len(y))
assert abs(whole - clean) < 1e-12 * abs(whole), (whole, clean)
expected = mean_of_pairs(kernel(a, a)) + mean_of_pairs(kernel(y, y)) - 2 * kernel(a, y).mean()
(folder / "kid.txt").write_text(f"{float(whole)!r}\n{float(expected)!r}\n")
print(whole, expected)
