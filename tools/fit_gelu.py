#!/usr/bin/env python3
"""The coefficients of src/kernels/nchwc/tiles.rs for GELU: (Phi(x) - 1/2) / x as a polynomial of 2 (x / REACH)^2 - 1, where Phi
is the distribution function of the normal distribution. The largest error of Phi is made as small as it can be (least squares,
weighted anew until the errors are even). Needs numpy.
"""
import math
import numpy as np
from numpy.polynomial import chebyshev

REACH, DEGREE = 5.25, 14


def share(x):
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


place = np.cos((np.arange(4000) + 0.5) * np.pi / 4000)
x = REACH * np.sqrt((place + 1) / 2)
terms, wanted, weight = chebyshev.chebvander(place, DEGREE) * x[:, None], share(x) - 0.5, np.ones(len(x))
for _ in range(60):
    fitted = np.linalg.lstsq(terms * weight[:, None], wanted * weight, rcond=None)[0]
    error = np.abs(terms @ fitted - wanted)
    weight *= (error / error.mean() + 1e-3) ** 0.3
    weight /= weight.mean()
coefficients = chebyshev.cheb2poly(fitted)[::-1].astype(np.float32)
print(*coefficients, sep="\n")

x = np.linspace(-8, 8, 200001)
inside = np.clip(x, -REACH, REACH).astype(np.float32)
square = (inside.astype(float) ** 2 * (2 / REACH**2) - 1).astype(np.float32)
p = np.zeros_like(square)
for c in coefficients:
    p = (p.astype(float) * square + c).astype(np.float32)
found = np.maximum(x, -REACH) * np.maximum(0, (p.astype(float) * inside + 0.5).astype(np.float32))
print(f"the largest error of GELU from -8 to 8, in f32: {np.abs(found - x * share(x)).max():.1e}")
