#ifndef NNET_EXT_H_
#define NNET_EXT_H_

// What every kernel of hls4ml-ext shares: integers of a given width, the one place where a number is rounded, the
// one place where numbers are multiplied, and the adapters between arrays (io_parallel) and streams (io_stream).
//
// The kernels compute on the stored integers of fixed-point numbers (value * 2^frac). In hardware these are ap_int of
// the exact width; in C simulation they are native integers, which a compiler can vectorize. The algorithm is written
// once; what differs is in this file: `int_t` and the few functions on it that HLS4ML_EXT_NATIVE switches. Define
// HLS4ML_EXT_AP_INT to make the C simulation use the hardware's integers as well: the tests compare both.

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
#include "nnet_types.h"

#ifndef __SYNTHESIS__
#include <cstdint>
#include <istream>
#include <type_traits>
#ifndef HLS4ML_EXT_AP_INT
#define HLS4ML_EXT_NATIVE
#endif
#endif

namespace nnet {
namespace ext {

// ---------------------------------------------------------------------------------------------------------------
// Types
// ---------------------------------------------------------------------------------------------------------------

// Compile-time facts of a fixed-point type.
template <class T> struct fixed_traits;

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct fixed_traits<ap_fixed<W, I, Q, O, N>> {
    static const int width = W;
    static const int frac = W - I;
    static const bool is_signed = true;
    static const ap_q_mode rounding = Q;
    static const ap_o_mode saturation = O;
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct fixed_traits<ap_ufixed<W, I, Q, O, N>> {
    static const int width = W;
    static const int frac = W - I;
    static const bool is_signed = false;
    static const ap_q_mode rounding = Q;
    static const ap_o_mode saturation = O;
};

#ifdef HLS4ML_EXT_NATIVE
// A native integer that holds W bits (and, for an unsigned number, the sign bit that the native type adds).
template <int W, bool S> struct int_of {
    typedef typename std::conditional<(W + !S <= 16), int16_t,
                                      typename std::conditional<(W + !S <= 32), int32_t, int64_t>::type>::type type;
};
#else
template <int W, bool S> struct int_of;
template <int W> struct int_of<W, true> {
    typedef ap_int<W> type;
};
template <int W> struct int_of<W, false> {
    typedef ap_uint<W> type;
};
#endif

// int_t<W>: signed integer of W bits. stored_t<T>: the stored integer of the fixed-point type T.
template <int W, bool S = true> using int_t = typename int_of<W, S>::type;
template <class T> using stored_t = int_t<fixed_traits<T>::width, fixed_traits<T>::is_signed>;

constexpr int max_of(int a, int b) { return a > b ? a : b; }
constexpr int min_of(int a, int b) { return a < b ? a : b; }
constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
// Bits that count from 0 to n - 1 (at least one).
constexpr int bits_for(int n) { return n <= 2 ? 1 : 1 + bits_for((n + 1) / 2); }

// ---------------------------------------------------------------------------------------------------------------
// Stored integer <-> fixed-point number
// ---------------------------------------------------------------------------------------------------------------

template <class T> inline stored_t<T> to_stored(const T &x) {
    #pragma HLS INLINE
#ifdef HLS4ML_EXT_NATIVE
    return static_cast<stored_t<T>>(x.V.get_VAL());
#else
    stored_t<T> bits;
    bits.range(fixed_traits<T>::width - 1, 0) = x.range(fixed_traits<T>::width - 1, 0);
    return bits;
#endif
}

template <class T> inline T from_stored(const stored_t<T> &bits) {
    #pragma HLS INLINE
    T x;
#ifdef HLS4ML_EXT_NATIVE
    x.V.get_VAL() = static_cast<typename std::decay<decltype(x.V.get_VAL())>::type>(bits);
#else
    x.range(fixed_traits<T>::width - 1, 0) = bits.range(fixed_traits<T>::width - 1, 0);
#endif
    return x;
}

// A beat between two processes of one kernel: stored integers. It copies as plain memory, which C simulation feels.
template <class T, unsigned N> struct integer_beat {
    typedef T value_type;
    static const unsigned size = N;
    T lanes[N];
    T &operator[](unsigned i) { return lanes[i]; }
    const T &operator[](unsigned i) const { return lanes[i]; }
};

// The stored integer of a lane, in a beat of fixed-point numbers or of integers.
template <class T> struct lane {
    typedef T type;
    static const T &of(const T &x) {
        #pragma HLS INLINE
        return x;
    }
};
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct lane<ap_fixed<W, I, Q, O, N>> {
    typedef stored_t<ap_fixed<W, I, Q, O, N>> type;
    static type of(const ap_fixed<W, I, Q, O, N> &x) {
        #pragma HLS INLINE
        return to_stored(x);
    }
};
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct lane<ap_ufixed<W, I, Q, O, N>> {
    typedef stored_t<ap_ufixed<W, I, Q, O, N>> type;
    static type of(const ap_ufixed<W, I, Q, O, N> &x) {
        #pragma HLS INLINE
        return to_stored(x);
    }
};
template <class beat_T> using lane_t = typename lane<typename beat_T::value_type>::type;
template <class beat_T> inline lane_t<beat_T> lane_of(const beat_T &beat, int i) {
    #pragma HLS INLINE
    return lane<typename beat_T::value_type>::of(beat[i]);
}

// The fixed-point number of type res_T nearest to value * 2^-FRAC, by res_T's own rounding and saturation modes.
// W: bits of `value`, sign included.
template <class res_T, int W, int FRAC> inline res_T requantize(const int_t<W> &value) {
    #pragma HLS INLINE
#ifdef HLS4ML_EXT_NATIVE
    typedef fixed_traits<res_T> R;
    static_assert(R::rounding == AP_TRN || R::rounding == AP_RND || R::rounding == AP_RND_CONV,
                  "hls4ml-ext: rounding mode without a native path");
    static_assert(R::saturation == AP_WRAP || R::saturation == AP_SAT || R::saturation == AP_SAT_SYM,
                  "hls4ml-ext: saturation mode without a native path");
    static_assert(W <= 63, "hls4ml-ext: accumulators of more than 63 bits have no native path");
    const int shift = FRAC - R::frac;
    const int right = shift > 0 ? shift : 0;
    const int left = shift < 0 ? -shift : 0;
    int64_t v = value;
    if (right > 0) {
        const int64_t half = (int64_t(1) << right) >> 1;
        if (R::rounding == AP_TRN)
            v >>= right;
        else if (R::rounding == AP_RND)
            v = (v + half) >> right;
        else // AP_RND_CONV: ties to even
            v = (v + half - 1 + ((v >> right) & 1)) >> right;
    } else {
        v *= int64_t(1) << left;
    }
    const int64_t hi = (int64_t(1) << (R::width - R::is_signed)) - 1;
    const int64_t lo = !R::is_signed ? 0 : (R::saturation == AP_SAT_SYM ? -hi : -hi - 1);
    if (R::saturation != AP_WRAP) { // AP_WRAP appears only where the converter has proven that nothing wraps
        v = v < lo ? lo : v;
        v = v > hi ? hi : v;
    }
    return from_stored<res_T>(static_cast<stored_t<res_T>>(v));
#else
    ap_fixed<W, W - FRAC> x;
    x.range(W - 1, 0) = value.range(W - 1, 0);
    return res_T(x);
#endif
}

// ---------------------------------------------------------------------------------------------------------------
// Words of memories
// ---------------------------------------------------------------------------------------------------------------

// rom_word<N, W, S>: a word of N integers of W bits, integer 0 in the low bits. In hardware it is one wide integer, whose
// slices are at constant positions. Its text is HLS4ML_EXT_ROM(0x...), which initialises the hardware's ROM; a C simulation,
// with either kind of integers, reads the same text from a file.
#ifdef __SYNTHESIS__
#define HLS4ML_EXT_ROM(hex) {#hex, 16}
template <int N, int W, bool S> using rom_word = ap_uint<N * W>;
#else
template <int N, int W, bool S> struct rom_word {
    int_t<W, S> lanes[N];
};

template <int N, int W, bool S> std::istream &operator>>(std::istream &in, rom_word<N, W, S> &word) {
    const int n_digits = ceil_div(N * W, 4);
    char digits[n_digits]; // the most significant one first
    in.ignore(64, 'x');
    in.read(digits, n_digits);
    in.get(); // the closing bracket
    for (int k = 0; k < N; k++) {
        int64_t value = 0;
        for (int b = 0; b < W; b++) {
            const int bit = k * W + b;
            const char digit = digits[n_digits - 1 - bit / 4];
            const int nibble = digit <= '9' ? digit - '0' : digit - 'a' + 10;
            value |= int64_t((nibble >> (bit % 4)) & 1) << b;
        }
        if (S && (value >> (W - 1)) != 0)
            value -= int64_t(1) << W;
        word.lanes[k] = int_t<W, S>(value);
    }
    return in;
}
#endif

// Integer k of a ROM's word; k is a constant, or the counter of an unrolled loop.
template <int N, int W, bool S> inline int_t<W, S> rom_lane(const rom_word<N, W, S> &word, int k) {
    #pragma HLS INLINE
#ifdef __SYNTHESIS__
    int_t<W, S> lane;
    lane.range(W - 1, 0) = word.range((k + 1) * W - 1, k * W);
    return lane;
#else
    return word.lanes[k];
#endif
}

// value * 2^SHIFT, to align two stored integers.
template <class int_T, int SHIFT> inline int_T align(const int_T &value) {
    #pragma HLS INLINE
#ifdef HLS4ML_EXT_NATIVE
    return static_cast<int_T>(value * (int_T(1) << SHIFT)); // a left shift of a negative number is undefined before C++20
#else
    return value << SHIFT;
#endif
}

// ---------------------------------------------------------------------------------------------------------------
// Multiply-accumulate
// ---------------------------------------------------------------------------------------------------------------

// Where the multipliers go. The 4-bit products of a quantized network belong in LUTs, 8x8-bit ones in DSPs.
enum mult_impl { mult_auto, mult_dsp, mult_lut };

template <int W, mult_impl IMPL> struct multiply {
    template <class a_T, class b_T> static int_t<W> call(const a_T &a, const b_T &b) {
        #pragma HLS INLINE
        return int_t<W>(int_t<W>(a) * int_t<W>(b));
    }
};

#ifndef HLS4ML_EXT_NATIVE
template <int W> struct multiply<W, mult_auto> {
    template <class a_T, class b_T> static int_t<W> call(const a_T &a, const b_T &b) {
        #pragma HLS INLINE
        return a * b;
    }
};

template <int W> struct multiply<W, mult_dsp> {
    template <class a_T, class b_T> static int_t<W> call(const a_T &a, const b_T &b) {
        #pragma HLS INLINE
        int_t<W> product = a * b;
        #pragma HLS BIND_OP variable=product op=mul impl=dsp
        return product;
    }
};

template <int W> struct multiply<W, mult_lut> {
    template <class a_T, class b_T> static int_t<W> call(const a_T &a, const b_T &b) {
        #pragma HLS INLINE
        int_t<W> product = a * b;
        #pragma HLS BIND_OP variable=product op=mul impl=fabric
        return product;
    }
};
#endif

// sum_i x[i] * w[i] of N stored integers, as an adder tree: N multipliers, no feedback.
template <int W, int N, mult_impl IMPL, class x_T, class weight_T> inline int_t<W> dot(const x_T x[N], const weight_T w[N]) {
    #pragma HLS INLINE
    int_t<W> sum = 0;
dot_terms:
    for (int i = 0; i < N; i++) {
        #pragma HLS UNROLL
        sum += multiply<W, IMPL>::call(x[i], to_stored(w[i]));
    }
    return sum;
}

// ---------------------------------------------------------------------------------------------------------------
// io_parallel: a tensor as an array, all of its elements at once. The kernels below speak streams of beats; these
// two processes stand at the borders. One beat a cycle.
// ---------------------------------------------------------------------------------------------------------------

template <class data_T, class beat_T, int N> void to_stream(data_T data[N], hls::stream<beat_T> &res) {
    const int n_beats = N / beat_T::size;
to_stream_beats:
    for (int i = 0; i < n_beats; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        beat_T beat;
        for (unsigned c = 0; c < beat_T::size; c++) {
            #pragma HLS UNROLL
            beat[c] = data[i * beat_T::size + c];
        }
        res.write(beat);
    }
}

template <class beat_T, class res_T, int N> void from_stream(hls::stream<beat_T> &data, res_T res[N]) {
    const int n_beats = N / beat_T::size;
from_stream_beats:
    for (int i = 0; i < n_beats; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        const beat_T beat = data.read();
        for (unsigned c = 0; c < beat_T::size; c++) {
            #pragma HLS UNROLL
            res[i * beat_T::size + c] = beat[c];
        }
    }
}

} // namespace ext
} // namespace nnet

#endif
