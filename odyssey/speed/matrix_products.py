"""The matrix products of a layer, forward and backward, and nothing else: by us and by torch.

Both compute the same from data that lie ready into memory that is there: the products of the input,
of each step those of the state, the gradients of both, and those of the two matrices. Each does it
as it is fastest: torch with the input products of all steps at once; ours as a layer does, which
packs the matrices in every call and takes steps in blocks that fit the cache.

Shapes: T steps, B batch rows, H input and hidden units, G stacked maps of H rows each.
"""

from __future__ import annotations

import ctypes

import torch

from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call.kernel import BLOCK_BYTES, DTYPES, LEAST_ROWS
from odyssey.compiler.backends.native.call.products import products
from odyssey.compiler.backends.native.source.frame import write_preamble
from odyssey.compiler.backends.native.targets import TARGETS, Tiling
from odyssey.speed.measure import Contender

_ENTRY = "odyssey_layer_products"
_CODE = f"""
struct call {{
  const struct products *q;
  long T, B, H, G, block;
  real *x, *w, *z, *dz, *dx, *dw, *panel, *panel2, *hot;
}};

void {_ENTRY}(const struct call *c, void *unused) {{
  const struct products *q = c->q;
  const long T = c->T, B = c->B, H = c->H, G = c->G, N = G * H, H_v = (H + V - 1) / V * V;
  const long zero = 0;
  const real *maps[8], *whole[1] = {{c->w}}, *panel[1] = {{c->panel}}, *none[1] = {{0}};
  real *dw[1] = {{c->dw}};
  for (long g = 0; g < G; g++) maps[g] = c->w + g * H * H;
  /* forward: the input of a block of steps, then step by step */
  q->pack(c->panel, whole, 1, N, H, H);
  q->pack(c->panel2, maps, G, H, H, H);
  for (long first = 0, count; first < T; first += count) {{
    count = T - first < c->block ? T - first : c->block;
    q->inputs(c->z, N, 1, &zero, &N, c->x + first * B * H, panel, H, none, count * B);
    for (long t = first; t < first + count; t++)
      for (long j = 0, wide; j < H; j += wide * V) {{
        wide = strip(H - j, q->wide);
        for (long g = 0; g < G; g++)
          q->product(c->hot + g * H_v + j, G * H_v, 0, 0, c->x + t * B * H, H, 1,
                     c->panel2 + (j * G + g * wide * V) * H, wide, H, B);
      }}
  }}
  /* backward: step by step, then the input of a block, then the matrices */
  q->pack_transposed(c->panel, whole, &N, 1, H, H);
  for (long first = 0, count; first < T; first += count) {{
    count = T - first < c->block ? T - first : c->block;
    const real *x = c->x + first * B * H, *d[1] = {{c->dz + first * B * N}};
    for (long t = first; t < first + count; t++)
      for (long j = 0, wide; j < H; j += wide * V) {{
        wide = strip(H - j, q->wide);
        q->product(c->hot + j, G * H_v, 0, 0, c->dz + t * B * N, N, 1, c->panel + j * N, wide, N,
                   B);
      }}
    q->into(c->dx + first * B * H, H, 1, &zero, &N, d, N, c->panel, N, count * B);
    q->outer(dw, H, 1, &N, d, N, x, H, count * B, H, first > 0);
    q->outer(dw, H, 1, &N, d, N, x, H, count * B, H, first > 0);
  }}
}}
"""
MOST_MAPS = 8


class LayerProducts:
    """The products of a layer: `torch` and `ours` compute them.

    Args:
        dtype: float32 or float64.
        steps: T.
        batch: B.
        hidden: H.
        gates: G, at most `MOST_MAPS`.
    """

    def __init__(self, dtype: torch.dtype, steps: int, batch: int, hidden: int, gates: int) -> None:
        assert gates <= MOST_MAPS
        self.dtype, self.sizes = dtype, (steps, batch, hidden, gates)
        rows, stacked = steps * batch, gates * hidden
        self.x = torch.randn(rows, hidden, dtype=dtype)
        self.w = torch.randn(stacked, hidden, dtype=dtype)
        self.z = torch.randn(rows, stacked, dtype=dtype)
        self.dz = torch.randn(rows, stacked, dtype=dtype)
        self.dx, self.dw = torch.empty_like(self.x), torch.empty_like(self.w)

    def torch(self) -> Contender:
        """Gives all products by torch."""
        _, batch, _, _ = self.sizes
        x, w, z, dz, dx, dw = self.x, self.w, self.z, self.dz, self.dx, self.dw
        starts = range(0, len(x), batch)
        steps = [(x[k : k + batch], z[k : k + batch]) for k in starts]
        back = [(dz[k : k + batch], dx[k : k + batch]) for k in starts]
        transposed, gradients = w.T, dz.T

        def run() -> None:
            torch.mm(x, transposed, out=z)
            for h, out in steps:
                torch.mm(h, transposed, out=out)
            for d, out in back:
                torch.mm(d, w, out=out)
            torch.mm(dz, w, out=dx)
            torch.mm(gradients, x, out=dw)
            torch.mm(gradients, x, out=dw)

        return run

    def ours(self, tiling: Tiling) -> Contender:
        """Gives all products by generated code."""
        dtype, target = DTYPES[self.dtype], toolchain.target()
        source = write_preamble("the products of a layer,", dtype=dtype, target=target) + _CODE
        function = getattr(toolchain.load(source, (_ENTRY,)), _ENTRY)
        _, batch, hidden, gates = self.sizes
        padded = hidden + TARGETS[target].bytes // self.dtype.itemsize
        rows = max(LEAST_ROWS, BLOCK_BYTES // (gates * hidden * self.dtype.itemsize))
        memory = [self.x, self.w, self.z, self.dz, self.dx, self.dw]
        # panels, and the products of a step, with room for whole vectors
        memory += [
            torch.empty(n * gates * padded, dtype=self.dtype) for n in (padded, padded, batch)
        ]
        words = [products(dtype, target, tiling), *self.sizes, max(1, rows // batch)]
        words += [t.data_ptr() for t in memory]
        call = (ctypes.c_int64 * len(words))(*words)

        def run(memory: object = memory) -> None:  # which must live as long as this
            function(call, None)

        return run
