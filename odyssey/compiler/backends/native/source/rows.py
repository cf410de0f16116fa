"""Functions over the units of a row as C: sums, means, maxima, running sums.

Each reads n numbers and writes one, or n. They run before the pointwise code of their phase, once a
batch row, and units that a member does not have never enter.
"""

from __future__ import annotations

from collections.abc import Iterable

_HEAD = "static __attribute__((noinline)) void row_{name}(real *to, const real *x, long n) {{"

_SUM = """\
/* The sum of n numbers: by lanes, then those of a vector, then what is left. */
static inline real total(const real *x, long n) {
  vec sum = {}, other = {};
  long j = 0;
  for (; j + 2 * V <= n; j += 2 * V) {
    sum += *(const loose *)(x + j);
    other += *(const loose *)(x + j + V);
  }
  for (; j + V <= n; j += V) sum += *(const loose *)(x + j);
  sum += other;
  real y = 0;
  if (j)
    for (long u = 0; u < V; u++) y += sum[u];
  for (; j < n; j++) y += x[j];
  return y;
}
"""

_BODIES = {
    "sum": "  *to = total(x, n);",
    "mean": "  *to = total(x, n) / (real)n;",
    # a NaN, once met, stays
    "max": """\
  real y = x[0];
  long j = 0;
  if (n >= V) {
    vec most = *(const loose *)x;
    for (j = V; j + V <= n; j += V) {
      const vec v = *(const loose *)(x + j);
      most = pick((v > most) | (v != v), v, most);
    }
    y = most[0];
    for (long u = 1; u < V; u++)
      if (most[u] > y || most[u] != most[u]) y = most[u];
  }
  for (; j < n; j++)
    if (x[j] > y || x[j] != x[j]) y = x[j];
  *to = y;""",
    "cumsum": """\
  real y = 0;
  for (long j = 0; j < n; j++) to[j] = y += x[j];""",
    "reverse_cumsum": """\
  real y = 0;
  for (long j = n - 1; j >= 0; j--) to[j] = y += x[j];""",
}


def write_rows(names: Iterable[str]) -> str:
    """Writes the row functions of these names as C, with what they need."""
    chosen = [name for name in _BODIES if name in set(names)]
    parts = [_SUM] if {"sum", "mean"} & set(chosen) else []
    parts += [f"{_HEAD.format(name=name)}\n{_BODIES[name]}\n}}\n" for name in chosen]
    return "\n".join(parts)
