#!/usr/bin/env python3
"""Makes the fixtures of package baseline with scikit-learn.

    apt-get install python3-sklearn      # 1.2.1 made those that are checked in
    /usr/bin/python3 internal/baseline/testdata/fixtures.py

writes beside this file:

    rows.i16.gz     400 training and 100 test rows of 115 int16, little-endian,
                    each a number of 1/512
    sklearn.json.gz what scikit-learn says of them
    forest.json.gz  scikit-learn's trees, node by node
    kitnet.json.gz  KitNET on the same rows, written down here in numpy

Rows have 8 hidden causes and noise. Of the test rows 50 are of the same kind, 30
lack the causes, and 20 are a training row with one feature moved.
"""

import gzip
import json
import pathlib

import numpy as np
import scipy.cluster.hierarchy as hierarchy
import sklearn
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

HERE = pathlib.Path(__file__).parent
FEATURES, TRAIN = 115, 400
STEPS = 512  # of a row's values in 1, so that they pack well
FORESTS = 30
MAP_ROWS, GROUP, HIDDEN, RATE = 40, 10, 0.75, 0.1


def make_rows():
    draw = np.random.default_rng(20190115)
    load = draw.normal(size=(8, FEATURES)) / np.sqrt(8)

    def usual(n):
        return draw.normal(size=(n, 8)) @ load + 0.3 * draw.normal(size=(n, FEATURES))

    train = usual(TRAIN)
    moved = train[draw.choice(TRAIN, 20, replace=False)].copy()
    for i, r in enumerate(moved):
        r[draw.integers(FEATURES)] += 0.5 * (i + 1)
    test = np.vstack([usual(50), draw.normal(size=(30, FEATURES)), moved])
    steps = np.round(STEPS * np.vstack([train, test])).astype("<i2")
    return steps, (steps[:TRAIN] / STEPS).astype(np.float32), (steps[TRAIN:] / STEPS).astype(np.float32)


def svm(train, test, **options):
    m = OneClassSVM(**options).fit(train.astype(np.float64))
    return {
        "nu": m.nu, "gamma": float(m._gamma), "tolerance": m.tol,
        "vectors": len(m.support_), "offset": float(-m.intercept_[0]),
        "decision": m.decision_function(test.astype(np.float64)).tolist(),
    }


def lof(train, test, k):
    m = LocalOutlierFactor(n_neighbors=k, novelty=True).fit(train.astype(np.float64))
    return {"neighbours": k, "score": (-m.score_samples(test.astype(np.float64))).tolist()}


def forest(train, test):
    m = IsolationForest(n_estimators=50, max_samples=128, random_state=3).fit(train)
    trees = []
    for e in m.estimators_:
        t = e.tree_
        trees.append({
            "left": t.children_left.tolist(), "right": t.children_right.tolist(),
            "feature": t.feature.tolist(), "threshold": t.threshold.tolist(),
            "rows": t.n_node_samples.tolist(),
        })
    return {"samples": int(m.max_samples_), "trees": trees, "score": (-m.score_samples(test)).tolist()}


def forests(train, test):
    scores = []
    for seed in range(FORESTS):
        m = IsolationForest(n_estimators=200, max_samples=256, random_state=seed).fit(train)
        scores.append(-m.score_samples(test))
    return {"mean": np.mean(scores, axis=0).tolist(), "deviation": np.std(scores, axis=0, ddof=1).tolist()}


def pca(train, test, share):
    train, test = train.astype(np.float64), test.astype(np.float64)
    m = PCA(n_components=share, svd_solver="full").fit(train)
    rebuilt = m.inverse_transform(m.transform(test))
    whole = PCA(svd_solver="full").fit(train)
    n, k = len(train), m.n_components_
    variances = whole.explained_variance_ * (n - 1) / n
    y = whole.transform(test)
    distance = (y[:, :k] ** 2 / variances[:k]).sum(axis=1) + (y[:, k:] ** 2).sum(axis=1) / variances[k:].mean()
    return {
        "share": share, "components": int(k),
        "error": ((test - rebuilt) ** 2).mean(axis=1).tolist(), "distance": distance.tolist(),
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Autoencoder:
    """One autoencoder of KitNET: tied weights, one row at a time."""

    def __init__(self, visible, draw):
        hidden = int(np.ceil(visible * HIDDEN))
        self.low, self.high = np.full(visible, np.inf), np.full(visible, -np.inf)
        self.weights = draw.uniform(-1 / visible, 1 / visible, (visible, hidden))
        self.first = self.weights.copy()
        self.hidden, self.visible = np.zeros(hidden), np.zeros(visible)

    def passes(self, x):
        width = self.high - self.low
        x = (x - self.low) / np.where(width == 0, 1, width)
        y = sigmoid(x @ self.weights + self.hidden)
        return x, y, x - sigmoid(y @ self.weights.T + self.visible)

    def failure(self, x):
        return float(np.sqrt((self.passes(x)[2] ** 2).mean()))

    def learn(self, x):
        self.low, self.high = np.minimum(self.low, x), np.maximum(self.high, x)
        x, y, lost = self.passes(x)
        back = (lost @ self.weights) * y * (1 - y)
        self.weights += RATE * (np.outer(x, back) + np.outer(lost, y))
        self.hidden += RATE * back
        self.visible += RATE * lost
        return float(np.sqrt((lost ** 2).mean()))


def groups_of(rows):
    """Single linkage by 1 − correlation, cut from the top."""
    means = np.cumsum(rows, axis=0) / np.arange(1, len(rows) + 1)[:, None]
    d = rows - means
    size = np.sqrt((d ** 2).sum(axis=0))
    far = np.maximum(0, 1 - d.T @ d / np.outer(size, size))
    tree = hierarchy.to_tree(hierarchy.linkage(far[np.triu_indices(FEATURES, 1)], "single"))

    def cut(node):
        if node.count <= GROUP:
            return [sorted(node.pre_order())]
        return cut(node.left) + cut(node.right)

    return sorted(cut(tree))


def kitnet(train, test):
    train, test = train.astype(np.float64), test.astype(np.float64)
    groups = groups_of(train[:MAP_ROWS])
    draw = np.random.default_rng(5)
    small = [Autoencoder(len(g), draw) for g in groups]
    last = Autoencoder(len(groups), draw)
    for x in train[MAP_ROWS:]:
        last.learn(np.array([a.learn(x[g]) for a, g in zip(small, groups)]))
    score = [last.failure(np.array([a.failure(x[g]) for a, g in zip(small, groups)])) for x in test]
    return {
        "map_rows": MAP_ROWS, "group": GROUP, "groups": groups,
        "weights": [a.first.ravel().tolist() for a in small + [last]], "score": score,
    }


def write(name, content):
    with open(HERE / name, "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(content)


def write_json(name, value):
    write(name, json.dumps(value, separators=(",", ":")).encode())


def main():
    steps, train, test = make_rows()
    write("rows.i16.gz", steps.tobytes())
    write_json("sklearn.json.gz", {
        "version": sklearn.__version__,
        "svm": [
            svm(train, test, tol=1e-9),
            svm(train, test, nu=0.1, tol=1e-9),
            svm(train, test, nu=0.05, gamma=0.05, tol=1e-9),
            svm(train, test),
        ],
        "lof": [lof(train, test, k) for k in (5, 20, 100)],
        "forests": forests(train, test),
        "pca": [pca(train, test, share) for share in (0.5, 0.95)],
    })
    write_json("forest.json.gz", forest(train, test))
    write_json("kitnet.json.gz", kitnet(train, test))


if __name__ == "__main__":
    main()
