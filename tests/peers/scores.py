"""What a quantized classifier lost, with the definitions of `quantize`'s report."""
import numpy as np

# the 97.5 % quantile of the normal distribution
Z95 = 1.959963984540054


def probabilities(z, already=False):
    """Class probabilities in f64 (a softmax of `z` unless they are that already), and ln(p + 1e-9)."""
    z = z.astype(np.float64)
    if already:
        return z, np.log(z + 1e-9)
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return p, np.log(p + 1e-9)


def scores(reference, out, labels, already=False):
    """Top-1, its paired drop (Wald's 95 % interval), agreement and mean KL of `out` against the FP32 `reference`."""
    (p, lp), (_, lq) = probabilities(reference, already), probabilities(out, already)
    before, after = reference.argmax(1), out.argmax(1)
    n = len(labels)
    lost, gained = int(((before == labels) & (after != labels)).sum()), int(((before != labels) & (after == labels)).sum())
    drop = 100 * (lost - gained) / n
    half = 100 * Z95 * max((lost + gained) - (lost - gained) ** 2 / n, 0) ** 0.5 / n
    return {
        "n": n,
        "top1": 100 * float((after == labels).mean()),
        "drop": drop,
        "drop_ci95": [drop - half, drop + half],
        "agreement": 100 * float((after == before).mean()),
        "kl": float((p * (lp - lq)).sum(1).mean()),
    }
