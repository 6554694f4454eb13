// SPDX-License-Identifier: BSD-3-Clause
// conv2d as matrix products whose operands are gathered from the images on the fly (implicit GEMM).
//
//               left (rows x depth)       right (depth x columns)     result
//   forward     x at pixel and tap        w at tap and channel k      y: pixels x k
//   bwd_input   dy at pixel and tap       w at tap and channel c      dx: pixels x c
//   bwd_weight  dy at k and pixel         x at pixel and tap          dw: k x taps
//
// A tap is a filter element (c, r, s), in bwd_input (k, r, s). A block of threads computes a tile
// of 64 x 64 results. It walks along the depth in steps of 16: all threads load a tile of either
// operand into shared memory, then each adds up 4 x 4 results of its own from there. That reads
// memory 64 times less often than it multiplies, and shared memory twice in four; the latter is
// what limits it.
//
// bwd_weight has few results and a depth of all pixels, so the depth is cut into slices, each
// summed by blocks of its own; a second kernel adds the slices in order, without atomics.
#include "common/cuda/launch.h"
#include "common/kernel/divisor.h"
#include "conv2d/cuda.h"

namespace cnnext {
namespace {

constexpr int kTile = 64;
constexpr int kDepth = 16;
constexpr int kShare = 4;
constexpr int kColumns = kTile / kShare;  // of the threads of a block; as many rows
static_assert(kColumns * kColumns == kThreads, "every thread has its share of the tile");

// Enough blocks to fill the largest of today's GPUs, if slices are what they can be had from.
constexpr int64_t kWantedBlocks = 512;
// Pixels, below which adding up slices would cost more than it gains.
constexpr int64_t kMinSlice = 512;

// ---------------------------------------------------------------------------- images and filters

// An image batch in memory.
struct Image {
  int64_t stride_n, stride_c, stride_h, stride_w;

  Image(Layout layout, int64_t c, int64_t h, int64_t w)
      : stride_n(c * h * w),
        stride_c(layout == Layout::nchw ? h * w : 1),
        stride_h(layout == Layout::nchw ? w : w * c),
        stride_w(layout == Layout::nchw ? 1 : c) {}

  CNNEXT_INLINE int64_t at(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return n * stride_n + c * stride_c + h * stride_h + w * stride_w;
  }
};

struct Tap {
  int64_t c, r, s;
};

// Neighbouring threads take neighbouring taps or pixels. So the order of taps is that of the
// elements of a filter in memory, in the same layout as the images.
template <Layout kLayout>
CNNEXT_INLINE Tap tap_of(const Digits& digits) {
  if constexpr (kLayout == Layout::nchw) return {digits.slow, digits.middle, digits.fast};
  return {digits.fast, digits.slow, digits.middle};
}

Radix tap_radix(Layout layout, int64_t c, int64_t k_h, int64_t k_w) {
  return layout == Layout::nchw ? Radix(k_h, k_w) : Radix(k_w, c);
}

// Where along an axis a tap of pixel i falls on the gathered image of `size`; -1 for the zeros
// around it, and in the input gradient between its pixels.
template <Pass kPass>
struct ImageAxis {
  int64_t size, pad, dilation;
  Divisor stride;

  CNNEXT_INLINE int64_t position(int64_t i, int64_t tap) const {
    if constexpr (kPass == Pass::bwd_input) {
      const int64_t moved = i + pad - tap * dilation;
      if (moved < 0) return -1;
      const int64_t at = stride.quotient(moved);
      return at < size && at * stride.divisor() == moved ? at : -1;
    } else {
      const int64_t at = i * stride.divisor() - pad + tap * dilation;
      return at >= 0 && at < size ? at : -1;
    }
  }
};

// The image that taps are gathered from: x, in the input gradient dy.
template <class T, Pass kPass>
struct Gathered {
  const T* data;
  Image image;
  int64_t channels_per_group;
  ImageAxis<kPass> rows, columns;

  Gathered(const Conv2dShape& s, const T* data_)
      : data(data_),
        image(s.layout, channels(s), height(s), width(s)),
        channels_per_group(channels(s) / s.groups),
        rows{height(s), s.pad_h, s.dilation_h, Divisor(s.stride_h)},
        columns{width(s), s.pad_w, s.dilation_w, Divisor(s.stride_w)} {}

  static int64_t channels(const Conv2dShape& s) { return kOfOutput ? s.c_out : s.c_in; }
  static int64_t height(const Conv2dShape& s) { return kOfOutput ? s.h_out() : s.h_in; }
  static int64_t width(const Conv2dShape& s) { return kOfOutput ? s.w_out() : s.w_in; }

  __device__ __forceinline__ Accumulator<T> load(int64_t group, const Digits& pixel,
                                                 const Tap& tap) const {
    const int64_t h = rows.position(pixel.middle, tap.r);
    const int64_t w = columns.position(pixel.fast, tap.s);
    if (h < 0 || w < 0) return 0;
    return widen(data[image.at(pixel.slow, group * channels_per_group + tap.c, h, w)]);
  }

 private:
  static constexpr bool kOfOutput = kPass == Pass::bwd_input;
};

// ---------------------------------------------------------------------- the products of the passes

// Which tile of the result a block computes, of which group, over which slice of the depth.
struct Tiling {
  int64_t rows, columns, depth, slice_depth;
  int64_t row_tiles, column_tiles, slices, groups;

  Tiling(int64_t rows_, int64_t columns_, int64_t depth_, int64_t groups_, int64_t slices_)
      : rows(rows_),
        columns(columns_),
        depth(depth_),
        slice_depth(round_up(ceil_div(depth_, slices_), kDepth)),
        row_tiles(ceil_div(rows_, kTile)),
        column_tiles(ceil_div(columns_, kTile)),
        slices(slices_),
        groups(groups_) {}

  int64_t blocks() const { return row_tiles * column_tiles * slices * groups; }
};

// Forward, and the input gradient, which differs in its ImageAxis and in the filter's strides.
template <class T, Pass kPass, Layout kLayout>
struct ImageProduct {
  using Value = Accumulator<T>;
  static constexpr bool kLeftAlongDepth = kLayout == Layout::channels_last;
  static constexpr bool kRightAlongDepth = true;

  Tiling tiling;
  Radix pixels, taps;
  Gathered<T, kPass> gathered;
  const T* w;
  int64_t w_group, w_column, w_tap, w_r, w_s;  // strides: of a group, a result's channel, a tap
  const T* bias;
  T* result;
  Image result_image;

  ImageProduct(const Conv2dShape& s, const Conv2dOperands<T>& o)
      : tiling(s.n * height(s) * width(s), channels(s) / s.groups, reduced(s) * s.k_h * s.k_w,
               s.groups, 1),
        pixels(height(s), width(s)),
        taps(tap_radix(s.layout, reduced(s), s.k_h, s.k_w)),
        gathered(s, o.first),
        w(o.second),
        w_group(s.c_out_per_group() * o.w_strides[0]),
        w_column(o.w_strides[kPass == Pass::forward ? 0 : 1]),
        w_tap(o.w_strides[kPass == Pass::forward ? 1 : 0]),
        w_r(o.w_strides[2]),
        w_s(o.w_strides[3]),
        bias(o.epilogue.bias),
        result(o.result),
        result_image(s.layout, channels(s), height(s), width(s)) {}

  __device__ __forceinline__ Value left(int64_t group, int64_t row, int64_t depth) const {
    return gathered.load(group, pixels.split(row), tap_of<kLayout>(taps.split(depth)));
  }

  __device__ __forceinline__ Value right(int64_t group, int64_t column, int64_t depth) const {
    const Tap tap = tap_of<kLayout>(taps.split(depth));
    return widen(
        w[group * w_group + column * w_column + tap.c * w_tap + tap.r * w_r + tap.s * w_s]);
  }

  __device__ __forceinline__ void store(int64_t, int64_t group, int64_t row, int64_t column,
                                        Value sum) const {
    const Digits pixel = pixels.split(row);
    const int64_t channel = group * tiling.columns + column;
    const Value start = bias == nullptr ? Value(0) : Value(widen(bias[channel]));
    result[result_image.at(pixel.slow, channel, pixel.middle, pixel.fast)] = narrow<T>(start + sum);
  }

 private:
  static constexpr bool kForward = kPass == Pass::forward;
  static int64_t channels(const Conv2dShape& s) { return kForward ? s.c_out : s.c_in; }
  static int64_t height(const Conv2dShape& s) { return kForward ? s.h_out() : s.h_in; }
  static int64_t width(const Conv2dShape& s) { return kForward ? s.w_out() : s.w_in; }
  static int64_t reduced(const Conv2dShape& s) {
    return kForward ? s.c_in_per_group() : s.c_out_per_group();
  }
};

int64_t weight_slices(const Conv2dShape& s) {
  const int64_t pixels = s.n * s.h_out() * s.w_out();
  const Tiling whole(s.c_out_per_group(), s.c_in_per_group() * s.k_h * s.k_w, pixels, s.groups, 1);
  const int64_t wanted = ceil_div(kWantedBlocks, whole.blocks());
  const int64_t slices = max(1, min(wanted, pixels / kMinSlice));
  return ceil_div(pixels, round_up(ceil_div(pixels, slices), kDepth));  // none is empty
}

template <class T, Layout kLayout>
struct WeightProduct {
  using Value = Accumulator<T>;
  static constexpr bool kLeftAlongDepth = kLayout == Layout::nchw;
  static constexpr bool kRightAlongDepth = kLayout == Layout::nchw;

  Tiling tiling;
  Radix pixels, taps;
  const T* dy;
  Image dy_image;
  Gathered<T, Pass::bwd_weight> gathered;
  Value* partial;  // slices x channels k x taps

  WeightProduct(const Conv2dShape& s, const Conv2dOperands<T>& o, Value* workspace)
      : tiling(s.c_out_per_group(), s.c_in_per_group() * s.k_h * s.k_w, s.n * s.h_out() * s.w_out(),
               s.groups, weight_slices(s)),
        pixels(s.h_out(), s.w_out()),
        taps(tap_radix(s.layout, s.c_in_per_group(), s.k_h, s.k_w)),
        dy(o.first),
        dy_image(s.layout, s.c_out, s.h_out(), s.w_out()),
        gathered(s, o.second),
        partial(workspace) {}

  __device__ __forceinline__ Value left(int64_t group, int64_t row, int64_t depth) const {
    const Digits pixel = pixels.split(depth);
    return widen(dy[dy_image.at(pixel.slow, group * tiling.rows + row, pixel.middle, pixel.fast)]);
  }

  __device__ __forceinline__ Value right(int64_t group, int64_t column, int64_t depth) const {
    return gathered.load(group, pixels.split(depth), tap_of<kLayout>(taps.split(column)));
  }

  __device__ __forceinline__ void store(int64_t slice, int64_t group, int64_t row, int64_t column,
                                        Value sum) const {
    const int64_t k = group * tiling.rows + row;
    partial[(slice * tiling.groups * tiling.rows + k) * tiling.columns + column] = sum;
  }
};

// ------------------------------------------------------------------------------------ the kernels

// tile[depth][i] = load(i, depth), neighbouring threads taking neighbours along the depth or i.
template <bool kAlongDepth, class Value, class Load>
__device__ __forceinline__ void fill(Value (&tile)[kDepth][kTile + 1], const Load& load) {
#pragma unroll
  for (int element = threadIdx.x; element < kDepth * kTile; element += kThreads) {
    const int depth = kAlongDepth ? element % kDepth : element / kTile;
    const int i = kAlongDepth ? element / kDepth : element % kTile;
    tile[depth][i] = load(i, depth);
  }
}

template <class Product>
__global__ void __launch_bounds__(kThreads, kMinBlocks) multiply(Product product) {
  using Value = typename Product::Value;
  // One element more than a tile, so that threads which store along the depth meet other banks.
  __shared__ Value left[kDepth][kTile + 1];
  __shared__ Value right[kDepth][kTile + 1];

  const Tiling& tiling = product.tiling;
  const int64_t block = blockIdx.x, tiles = tiling.row_tiles * tiling.column_tiles;
  const int64_t first_row = block % tiling.row_tiles * kTile;
  const int64_t first_column = block / tiling.row_tiles % tiling.column_tiles * kTile;
  const int64_t group = block / tiles % tiling.groups, slice = block / tiles / tiling.groups;
  const int64_t begin = slice * tiling.slice_depth;
  const int64_t end = min(tiling.depth, begin + tiling.slice_depth);
  const int thread_row = threadIdx.x % kColumns, thread_column = threadIdx.x / kColumns;

  Value sum[kShare][kShare] = {};
  for (int64_t depth0 = begin; depth0 < end; depth0 += kDepth) {
    fill<Product::kLeftAlongDepth>(left, [&](int i, int depth) {
      const int64_t row = first_row + i;
      return row < tiling.rows && depth0 + depth < end ? product.left(group, row, depth0 + depth)
                                                       : Value(0);
    });
    fill<Product::kRightAlongDepth>(right, [&](int i, int depth) {
      const int64_t column = first_column + i;
      return column < tiling.columns && depth0 + depth < end
                 ? product.right(group, column, depth0 + depth)
                 : Value(0);
    });
    __syncthreads();
#pragma unroll
    for (int depth = 0; depth < kDepth; ++depth) {
      Value a[kShare], b[kShare];
#pragma unroll
      for (int i = 0; i < kShare; ++i) {
        a[i] = left[depth][thread_row + i * kColumns];
        b[i] = right[depth][thread_column + i * kColumns];
      }
#pragma unroll
      for (int i = 0; i < kShare; ++i) {
#pragma unroll
        for (int j = 0; j < kShare; ++j) sum[i][j] += a[i] * b[j];
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kShare; ++i) {
    const int64_t row = first_row + thread_row + i * kColumns;
#pragma unroll
    for (int j = 0; j < kShare; ++j) {
      const int64_t column = first_column + thread_column + j * kColumns;
      if (row < tiling.rows && column < tiling.columns) {
        product.store(slice, group, row, column, sum[i][j]);
      }
    }
  }
}

// Where the filter elements, in the order of their taps, lie in dw; a bias is a filter of one tap.
template <Layout kLayout>
struct FilterElements {
  Divisor taps_of_channel;
  Radix taps;
  int64_t strides[4];

  CNNEXT_INLINE int64_t at(int64_t element) const {
    const int64_t k = taps_of_channel.quotient(element);
    const Tap tap = tap_of<kLayout>(taps.split(element - k * taps_of_channel.divisor()));
    return k * strides[0] + tap.c * strides[1] + tap.r * strides[2] + tap.s * strides[3];
  }
};

template <class T, Layout kLayout>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    add_slices(int64_t size, int64_t slices, const Accumulator<T>* partial,
               FilterElements<kLayout> elements, T* result) {
  const int64_t element = global_thread();
  if (element >= size) return;
  Accumulator<T> sum = 0;
  for (int64_t slice = 0; slice < slices; ++slice) sum += partial[slice * size + element];
  result[elements.at(element)] = narrow<T>(sum);
}

// How blocks divide the columns of dy (channels) and its rows (pixels) for the bias gradient.
struct ColumnSums {
  int64_t channels, pixels, slice, slices;
  int lanes;  // channels of a block, side by side in memory in channels_last

  explicit ColumnSums(const Conv2dShape& s)
      : channels(s.c_out),
        pixels(s.n * s.h_out() * s.w_out()),
        lanes(s.layout == Layout::nchw ? 1 : 32) {
    const int64_t wanted = ceil_div(kWantedBlocks, groups());
    slice = ceil_div(pixels, max(1, min(wanted, pixels / kMinSlice)));
    slices = ceil_div(pixels, slice);
  }

  CNNEXT_INLINE int64_t groups() const { return ceil_div(channels, lanes); }
};

// partial[slice][channel] = the sum of the channel's pixels in the slice.
template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    sum_columns(ColumnSums sums, Radix pixels, Image image, const T* dy, Accumulator<T>* partial) {
  using Value = Accumulator<T>;
  __shared__ Value of_thread[kThreads];
  const int thread = threadIdx.x, lanes = sums.lanes;
  const int64_t channel = blockIdx.x % sums.groups() * lanes + thread % lanes;
  const int64_t slice = blockIdx.x / sums.groups();
  const int64_t end = min(sums.pixels, (slice + 1) * sums.slice);
  Value sum = 0;
  if (channel < sums.channels) {
    for (int64_t i = slice * sums.slice + thread / lanes; i < end; i += kThreads / lanes) {
      const Digits pixel = pixels.split(i);
      sum += widen(dy[image.at(pixel.slow, channel, pixel.middle, pixel.fast)]);
    }
  }
  of_thread[thread] = sum;
  for (int half = kThreads / 2; half >= lanes; half /= 2) {
    __syncthreads();
    if (thread < half) of_thread[thread] += of_thread[thread + half];
  }
  if (thread < lanes && channel < sums.channels) {
    partial[slice * sums.channels + channel] = of_thread[thread];
  }
}

// ----------------------------------------------------------------------------------- the launches

template <class Product>
void launch_product(const Product& product, cudaStream_t stream) {
  launch_blocks(&multiply<Product>, product.tiling.blocks(), stream, product);
}

template <Layout kLayout, class T>
void run(Pass pass, const Conv2dShape& s, const Conv2dOperands<T>& o, Accumulator<T>* workspace,
         cudaStream_t stream) {
  if (pass == Pass::forward) {
    launch_product(ImageProduct<T, Pass::forward, kLayout>(s, o), stream);
  } else if (pass == Pass::bwd_input) {
    launch_product(ImageProduct<T, Pass::bwd_input, kLayout>(s, o), stream);
  } else {
    const WeightProduct<T, kLayout> product(s, o, workspace);
    launch_product(product, stream);
    const int64_t taps = product.tiling.columns, size = s.c_out * taps;
    const FilterElements<kLayout> elements{
        Divisor(taps),
        product.taps,
        {o.w_strides[0], o.w_strides[1], o.w_strides[2], o.w_strides[3]}};
    launch_elements(&add_slices<T, kLayout>, size, stream, size, product.tiling.slices, workspace,
                    elements, o.result);
  }
}

}  // namespace

int64_t conv2d_cuda_weight_workspace(const Conv2dShape& s) {
  return weight_slices(s) * s.c_out * s.c_in_per_group() * s.k_h * s.k_w;
}

template <class T>
void conv2d_cuda(Pass pass, const Conv2dShape& s, const Conv2dOperands<T>& o,
                 Accumulator<T>* workspace, cudaStream_t stream) {
  if (s.layout == Layout::nchw) {
    run<Layout::nchw>(pass, s, o, workspace, stream);
  } else {
    run<Layout::channels_last>(pass, s, o, workspace, stream);
  }
}

int64_t conv2d_cuda_bias_workspace(const Conv2dShape& s) {
  const ColumnSums sums(s);
  return sums.slices * sums.channels;
}

template <class T>
void conv2d_cuda_bias(const Conv2dShape& s, const T* dy, T* db, Accumulator<T>* workspace,
                      cudaStream_t stream) {
  const ColumnSums sums(s);
  launch_blocks(&sum_columns<T>, sums.groups() * sums.slices, stream, sums,
                Radix(s.h_out(), s.w_out()), Image(s.layout, s.c_out, s.h_out(), s.w_out()), dy,
                workspace);
  const FilterElements<Layout::nchw> elements{Divisor(1), Radix(1, 1), {1, 0, 0, 0}};
  launch_elements(&add_slices<T, Layout::nchw>, s.c_out, stream, s.c_out, sums.slices, workspace,
                  elements, db);
}

#define CNNEXT_INSTANTIATE(T)                                                          \
  template void conv2d_cuda<T>(Pass, const Conv2dShape&, const Conv2dOperands<T>&,     \
                               Accumulator<T>*, cudaStream_t);                         \
  template void conv2d_cuda_bias<T>(const Conv2dShape&, const T*, T*, Accumulator<T>*, \
                                    cudaStream_t);
CNNEXT_FOR_CUDA_TYPES(CNNEXT_INSTANTIATE)

}  // namespace cnnext
