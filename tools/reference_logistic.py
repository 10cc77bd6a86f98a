"""Makes tests/reference/logistic.json: coefficients and probabilities of scikit-learn's LogisticRegression.

    pip install scikit-learn==1.9.1 numpy
    python tools/reference_logistic.py

Two small made problems, of two classes and of four (one of them rare), each at three values of C.
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

RESULT = Path(__file__).resolve().parents[1] / "tests/reference/logistic.json"


def problem(classes, seed):
    random = np.random.default_rng(seed)
    sizes = [14, 11, 9, 3][:classes]
    labels = np.repeat(np.arange(classes), sizes)
    centres = random.normal(0, 1.2, (classes, 6))
    features = np.round(centres[labels] + random.normal(0, 1.0, (len(labels), 6)), 3)
    weights = np.round(random.uniform(0.25, 1.0, len(labels)), 2)
    fits = []
    for c in (0.05, 1.0, 50.0):
        fit = LogisticRegression(C=c, tol=1e-10, max_iter=100_000).fit(features, labels, weights)
        fits.append({"c": c, "coef": fit.coef_.tolist(), "intercept": fit.intercept_.tolist(),
                     "probabilities": fit.predict_proba(features).tolist()})
    return {"features": features.tolist(), "classes": labels.tolist(),
            "weights": weights.tolist(), "fits": fits}


if __name__ == "__main__":
    made = {"scikit-learn": sklearn.__version__, "numpy": np.__version__,
            "problems": [problem(2, 1), problem(4, 2)]}
    RESULT.write_text(json.dumps(made) + "\n")
