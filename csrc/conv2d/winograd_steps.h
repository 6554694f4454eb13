// SPDX-License-Identifier: BSD-3-Clause
// What all kernels on Winograd's transforms share: a convolution seen as tiles, panels of output
// channels and chunks of channels, and the steps that take one of each to the next.
//
//   transform_filter   U = G w G^T        [point][c][Tile::kColumns]          of a panel and chunk
//   read_tiles         V = B^T x B        [point][group][c / N][tile][N]      of a group and chunk
//   multiply           M = M + V U        [point][tile][Tile::kColumns]       of a panel
//   write_tiles        y = A^T M A, or plain sums where those would not be exact enough
//
// A group is as many tiles as the micro-kernel has rows; a chunk is what fits a core's own cache.
#pragma once

#include "conv2d/winograd_plain.h"
#include "conv2d/winograd_tiles.h"
#include "gemm/packed.h"

namespace cnnext {
namespace {

// Neighbouring rows of scratch that far apart fall into different sets of the caches.
CNNEXT_INLINE int64_t pad_against_aliasing(int64_t floats) {
  constexpr int64_t kLine = 16;
  return (ceil_div(floats, kLine) | 1) * kLine;
}

// Tiles [first, first + tiles) in groups that fit the micro-kernel, as even as possible.
struct TileBlock {
  int64_t first, tiles, groups;

  static CNNEXT_INLINE TileBlock of(int64_t all, int64_t index, int64_t count, int64_t max_rows) {
    const int64_t first = all * index / count, last = all * (index + 1) / count;
    return {first, last - first, ceil_div(last - first, max_rows)};
  }
  CNNEXT_INLINE int64_t group_first(int64_t i) const { return tiles * i / groups; }
};

// The part `index` of `count`, as even as possible.
struct Part {
  int64_t index, count;

  CNNEXT_INLINE int64_t first(int64_t units) const { return units * index / count; }
  CNNEXT_INLINE int64_t last(int64_t units) const { return units * (index + 1) / count; }
};

template <class Tile, Pass kPass, int Outputs, int Taps>
struct WinogradSteps {
  using Tiles = WinogradTiles<Tile, Outputs, Taps>;
  using Math = typename Tiles::Math;
  using Plain = PlainTile<Tile::kLanes, Outputs, Taps>;
  static constexpr int N = Tile::kLanes, kSide = Tiles::kSide, kPoints = Tiles::kPoints;
  static constexpr int64_t kColumns = Tile::kColumns;
  static constexpr int64_t kTaps = Taps * Taps;
  // Passed back are often gradients of very different sizes, of which the least count for nothing;
  // residues in the place of zeros are smaller yet.
  static constexpr float kDim = kPass == Pass::forward ? kDimWindow : 1.0f / 4096;
  static constexpr int64_t kMaxChannels = 128;             // of a chunk, where U fits L2
  static constexpr int64_t kFilterFloats = N * kTaps * N;  // scratch of transform_filter

  // Columns [first, first + count) of a panel, whole vectors but for the last of all.
  struct Columns {
    int64_t panel, first, count;
  };

  WinogradShape g;
  const float *x, *w;
  Prologue<float> prologue;
  Epilogue<float> epilogue;
  bool plain;  // all sums must be
  float* y;
  int64_t panels, chunks, chunk_channels;
  int64_t group_tiles;  // as many as the micro-kernel has rows

  WinogradSteps(const Conv2dShape& s, const Conv2dOperands<float>& o)
      : g(winograd_shape(s, kPass, Outputs, o)),
        x(o.first),
        w(o.second + g.w_first),
        prologue(o.prologue),
        epilogue(o.epilogue),
        plain(o.transforms < winograd_transforms(Taps, Outputs)),
        y(o.result) {
    panels = ceil_div(g.k, kColumns);
    const int64_t max_channels = min(kMaxChannels, l2_floats(9) / (kPoints * kColumns));
    chunk_channels = round_up(ceil_div(g.c, ceil_div(g.c, max_channels)), N);
    chunks = ceil_div(g.c, chunk_channels);
    group_tiles = Tile::panel_rows(g.k);
  }

  int64_t chunk_vectors() const { return chunk_channels / N; }
  // Vectors of output channels x vectors of channels; some of a last panel or chunk are empty.
  int64_t filter_parts() const { return Tile::kVectors * chunk_vectors(); }
  int64_t channels(int64_t chunk) const {
    return min(chunk_channels, g.c - chunk * chunk_channels);
  }
  Columns columns(int64_t panel) const { return {panel, 0, min(kColumns, g.k - panel * kColumns)}; }

  // Distances from point to point, and what all points take.
  int64_t u_point() const { return pad_against_aliasing(chunk_channels * kColumns); }
  int64_t u_floats() const { return kPoints * u_point(); }
  int64_t v_point(int64_t tiles) const { return pad_against_aliasing(tiles * chunk_channels); }
  int64_t v_floats(int64_t tiles) const { return kPoints * v_point(tiles); }
  int64_t m_point(int64_t tiles) const { return pad_against_aliasing(tiles * kColumns); }
  int64_t m_floats(int64_t tiles) const { return kPoints * m_point(tiles); }
  // Scratch of all steps: a band of an image, or a filter; behind it a mark for each vector of a
  // tile.
  static constexpr int64_t kWorkFloats = max(Tiles::kBandFloats, kFilterFloats);
  static int64_t work_floats(int64_t tiles) {
    return kWorkFloats + ceil_div(Tile::kVectors * tiles, sizeof(float));
  }

  // The transformed filter, [panel][chunk] of U, of which plain sums also read the original.
  PackFormat packed_filter() const {
    constexpr const char* kOrders[] = {"winograd 2x2 of 3x3", "winograd 2x2 of 5x5",
                                       "winograd 4x4 of 3x3"};
    constexpr const char* kGradientOrders[] = {"winograd 2x2 of 3x3 of the gradient",
                                               "winograd 2x2 of 5x5 of the gradient",
                                               "winograd 4x4 of 3x3 of the gradient"};
    constexpr int kOrder = Outputs == 4 ? 2 : Taps == 5 ? 1 : 0;
    PackFormat format;
    format.order = kPass == Pass::forward ? kOrders[kOrder] : kGradientOrders[kOrder];
    format.columns = kColumns;
    format.tasks = panels * chunks * filter_parts();
    format.bytes = 4 * panels * chunks * u_floats();
    format.chunk_bytes = 4 * kFilterFloats;
    format.complete = false;
    return format;
  }
  void pack_filter(const Slice& slice) const {
    float* const u = reinterpret_cast<float*>(slice.packed);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t part = task % filter_parts(), index = task / filter_parts();
      const int64_t panel = index / chunks, chunk = index % chunks;
      const int64_t first = part / chunk_vectors() * N, c = part % chunk_vectors() * N;
      const int64_t count = min(N, columns(panel).count - first), end = min(channels(chunk), c + N);
      transform_filter({panel, first, count}, chunk, c, end, u + index * u_floats(),
                       reinterpret_cast<float*>(slice.chunk));
    }
  }

  // Channels [c_first, c_last) of the chunk.
  void transform_filter(const Columns& some, int64_t chunk, int64_t c_first, int64_t c_last,
                        float* u, float* scratch) const {
    const int64_t c0 = chunk * chunk_channels;
    for (int64_t j = some.first; j < some.first + some.count; j += N) {
      const int64_t k0 = some.panel * kColumns + j, lanes = min(N, g.k - k0);
      if (lanes < N) fill_zero(scratch, kFilterFloats);  // lanes that nothing else sets
      for (int64_t c = c_first; c < c_last; c += N) {
        const int64_t rows = min(N, c_last - c);
        transpose_filter(w + k0 * g.w_k + (c0 + c) * g.w_c, lanes, rows, scratch);
        for (int64_t i = 0; i < rows; ++i) {
          transform_taps(scratch + i * kTaps * N, u + (c + i) * kColumns + j, u_point());
        }
      }
    }
  }

  // Group `i` of the block, chunk of channels; v is that of the block and chunk. A part is one of
  // so many of the chunk's vectors, and of so many of the group's tiles.
  void read_tiles(const TileBlock& b, int64_t i, int64_t chunk, float* v, float* scratch,
                  const Part& of_vectors = {0, 1}, const Part& of_tiles = {0, 1}) const {
    const int64_t first = b.group_first(i), count = b.group_first(i + 1) - first;
    const int64_t vectors = ceil_div(channels(chunk), N), c = of_vectors.first(vectors) * N;
    const int64_t c_end = min(channels(chunk), of_vectors.last(vectors) * N);
    const int64_t t = of_tiles.first(count), tiles = of_tiles.last(count) - t;
    const TilePoints points{v + (first * vectors + t) * N + c * count, v_point(b.tiles), count * N,
                            N};
    Tiles::read(g, x, prologue, b.first + first + t, tiles, chunk * chunk_channels + c, c_end - c,
                points, scratch);
  }

  // The groups [first, last) of a block, with which m begins; the first chunk sets M. A U that
  // `streams` is not in the core's own cache yet.
  void multiply(const TileBlock& b, int64_t first, int64_t last, const Columns& some, int64_t chunk,
                const float* v, const float* u, bool streams, float* m, int64_t m_stride) const {
    const int64_t vectors = round_up(channels(chunk), N);
    const int64_t t0 = b.group_first(first), tiles = b.group_first(last) - t0;
    for (int64_t point = 0; point < kPoints; ++point) {
      const int64_t next_point = point + 1 < kPoints ? point + 1 : 0;
      for (int64_t i = first; i < last; ++i) {
        const int64_t t = b.group_first(i), rows = b.group_first(i + 1) - t;
        const bool ends = i == last - 1;
        PackedOperands operands;
        operands.a = v + point * v_point(b.tiles) + t * vectors;
        operands.b = u + point * u_point() + some.first;
        operands.depth = channels(chunk);
        operands.c = m + point * m_stride + (t - t0) * kColumns + some.first;
        operands.columns = some.count;
        operands.init = chunk > 0 ? operands.c : nullptr;
        operands.next_a =
            ends ? v + next_point * v_point(b.tiles) + t0 * vectors : operands.a + rows * vectors;
        operands.next_b = ends && streams ? u + next_point * u_point() + some.first : nullptr;
        multiply_packed<Tile>(rows, operands);
      }
      if (chunk == chunks - 1) {
        const int64_t begin = tiles * point / kPoints, end = tiles * (point + 1) / kPoints;
        Tiles::prefetch_outputs(g, b.first + t0 + begin, end - begin,
                                some.panel * kColumns + some.first, some.count, y);
      }
    }
  }

  // The groups [first, last) of a block, with which m begins; m is scratch afterwards.
  void write_tiles(const TileBlock& b, int64_t first, int64_t last, const Columns& some, float* m,
                   int64_t m_stride, float* scratch) const {
    const int64_t t0 = b.group_first(first), tiles = b.group_first(last) - t0;
    uint8_t* const marks = reinterpret_cast<uint8_t*>(scratch + kWorkFloats);
    __builtin_memset(marks, plain, Tile::kVectors * tiles);
    for (int64_t i = first; i < last; ++i) {
      const int64_t t = b.group_first(i), count = b.group_first(i + 1) - t;
      const float* const products = m + (t - t0) * kColumns;
      for (int64_t j = some.first; j < some.first + some.count; j += N) {
        const int64_t k = some.panel * kColumns + j;
        Tiles::write(g, b.first + t, count, k, min(N, g.k - k), products + j, m_stride, epilogue,
                     kDim, y, marks + j / N * tiles + t - t0, scratch);
      }
    }
    for (int64_t j = some.first; j < some.first + some.count; j += N) {
      write_plainly(b.first + t0, tiles, marks + j / N * tiles, some.panel * kColumns + j, m,
                    scratch);
    }
  }

 private:
  // The marked ones of the tiles [index, index + tiles), N output channels from k0: the filter is
  // transposed once for all of them.
  void write_plainly(int64_t index, int64_t tiles, const uint8_t* marks, int64_t k0, float* sums,
                     float* filter) const {
    int64_t marked = 0;
    for (int64_t t = 0; t < tiles; ++t) marked += marks[t] != 0;
    if (marked == 0) return;
    const int64_t lanes = min(N, g.k - k0);
    fill_zero(sums, marked * Plain::kFloats);
    if (lanes < N) fill_zero(filter, kFilterFloats);
    for (int64_t c = 0; c < g.c; c += N) {
      const int64_t count = min(N, g.c - c);
      transpose_filter(w + k0 * g.w_k + c * g.w_c, lanes, count, filter);
      float* to = sums;
      for (int64_t t = 0; t < tiles; ++t) {
        if (marks[t] == 0) continue;
        Plain::add(g, x, prologue, g.position(index + t), c, count, filter, to);
        to += Plain::kFloats;
      }
    }
    float* from = sums;
    for (int64_t t = 0; t < tiles; ++t) {
      if (marks[t] == 0) continue;
      Plain::write(g, g.position(index + t), k0, lanes, epilogue, from, y);
      from += Plain::kFloats;
    }
  }

  // filter[c][tap][lane] of N output channels, `count` <= N channels.
  void transpose_filter(const float* from, int64_t lanes, int64_t count, float* filter) const {
    if (g.w_w == 1 && g.w_h == Taps && g.w_c == kTaps) {  // torch's default order
      transpose_block<N>(from, g.w_k, filter, N, lanes, count * kTaps);
    } else if (g.w_w == -1 && g.w_h == -Taps && g.w_k == kTaps) {  // the same, transposed
      for (int64_t c = 0; c < count; ++c) {
        transpose_block<N>(from + c * g.w_c - (kTaps - 1), kTaps,
                           filter + (c * kTaps + kTaps - 1) * N, -N, lanes, kTaps);
      }
    } else {
      for (int64_t tap = 0; tap < kTaps; ++tap) {
        const float* const src = from + tap / Taps * g.w_h + tap % Taps * g.w_w;
        if (g.w_c == 1) {  // channels_last, whose taps are far apart
          for (int64_t lane = 0; lane < lanes; ++lane) {
            __builtin_prefetch(src + lane * g.w_k + N);  // of the next call
          }
          transpose_block<N>(src, g.w_k, filter + tap * N, kTaps * N, lanes, count);
          continue;
        }
        for (int64_t c = 0; c < count; ++c) {
          float* const dst = filter + (c * kTaps + tap) * N;
          if (g.w_k == 1) {  // the same, transposed
            copy(dst, src + c * g.w_c, lanes);
            continue;
          }
          for (int64_t lane = 0; lane < lanes; ++lane) dst[lane] = src[c * g.w_c + lane * g.w_k];
        }
      }
    }
  }

  // First along the columns, then along the rows.
  CNNEXT_INLINE static void transform_taps(const float* filter, float* u, int64_t u_point) {
    f32<N> half[kSide][Taps];
    CNNEXT_UNROLL(8)
    for (int s = 0; s < Taps; ++s) {
      f32<N> column[Taps], points[kSide];
      for (int r = 0; r < Taps; ++r) column[r] = load<N>(filter + (r * Taps + s) * N);
      Math::template filter<N>(column, points);
      for (int i = 0; i < kSide; ++i) half[i][s] = points[i];
    }
    CNNEXT_UNROLL(8)
    for (int i = 0; i < kSide; ++i) {
      f32<N> points[kSide];
      Math::template filter<N>(half[i], points);
      for (int r = 0; r < kSide; ++r) store<N>(u + (i * kSide + r) * u_point, points[r]);
    }
  }
};

}  // namespace
}  // namespace cnnext
