#ifndef NNET_MATVEC_EXT_H_
#define NNET_MATVEC_EXT_H_

// Matrix times vector: the arithmetic of convolutions and dense layers. Vectors of n_in inputs come in beats of SIMD lanes;
// outputs go out in beats of PE lanes.
//
// Each cycle multiplies SIMD inputs with the weights of PE outputs. The loop over inputs is inside, the loop over outputs
// outside: PE accumulators, one word of weights a cycle, in the order of the ROM. While the first PE outputs are computed the
// inputs are kept in a small RAM, from which the other outputs read them again.
//
//   matvec       PE < n_out
//   matvec_once  PE = n_out: every input is used once, nothing is kept
//
//   cycles       n_vectors * (n_in / SIMD) * (n_out / PE)
//   multipliers  SIMD * PE
//   storage      weights: ROM of (n_in / SIMD) * (n_out / PE) words of SIMD * PE weights; biases: n_out / PE words of PE
//                vector (matvec): n_in / SIMD words of SIMD inputs, one read and one write a cycle
//                PE accumulators (integer adds, which one clock can close)

#include "nnet_ext.h"

namespace nnet {
namespace ext {

// The products of one cycle: acc[p] = (first ? bias[p] : acc[p]) + sum_s x[s] * weights[p][s].
template <class x_T, typename CONFIG_T>
inline void multiply_accumulate(const x_T x[CONFIG_T::simd], const typename CONFIG_T::weight_word &weight_word,
                                const typename CONFIG_T::bias_word &bias_word, bool first,
                                int_t<CONFIG_T::acc_width> acc[CONFIG_T::pe]) {
    #pragma HLS INLINE
    typedef int_t<CONFIG_T::acc_width> acc_T;
    const int n_weights = CONFIG_T::pe * CONFIG_T::simd;
    for (int p = 0; p < CONFIG_T::pe; p++) {
        #pragma HLS UNROLL
        acc_T sum = 0;
    matvec_terms:
        for (int s = 0; s < CONFIG_T::simd; s++) {
            #pragma HLS UNROLL
            sum += multiply<CONFIG_T::acc_width, CONFIG_T::multiplier>::call(
                x[s],
                rom_lane<n_weights, CONFIG_T::weight_width, CONFIG_T::weight_signed>(weight_word, p * CONFIG_T::simd + s));
        }
        const acc_T bias = rom_lane<CONFIG_T::pe, CONFIG_T::bias_width, CONFIG_T::bias_signed>(bias_word, p);
        acc[p] = (first ? align<acc_T, CONFIG_T::bias_shift>(bias) : acc[p]) + align<acc_T, CONFIG_T::product_shift>(sum);
    }
}

// The accumulators, rounded.
template <class res_T, typename CONFIG_T> inline res_T rounded(const int_t<CONFIG_T::acc_width> acc[CONFIG_T::pe]) {
    #pragma HLS INLINE
    res_T beat;
    for (int p = 0; p < CONFIG_T::pe; p++) {
        #pragma HLS UNROLL
        beat[p] = requantize<typename res_T::value_type, CONFIG_T::acc_width, CONFIG_T::acc_frac>(acc[p]);
    }
    return beat;
}

template <class data_T, class res_T, typename CONFIG_T>
void matvec(hls::stream<data_T> &data, hls::stream<res_T> &res,
            const typename CONFIG_T::weight_word weights[CONFIG_T::fold_in * CONFIG_T::fold_out],
            const typename CONFIG_T::bias_word biases[CONFIG_T::fold_out],
            lane_t<data_T> vector[CONFIG_T::fold_in][CONFIG_T::simd]) {
    typedef lane_t<data_T> x_T;
    // A word is written for the first outputs and read for the next, fold_in cycles later.
    const int distance = CONFIG_T::fold_in;
    #pragma HLS DEPENDENCE variable=vector inter RAW distance=distance true
    (void)distance; // only the pragma uses it

    int_t<CONFIG_T::acc_width> acc[CONFIG_T::pe];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    int in_fold = 0, out_fold = 0, address = 0;

matvec_cycles:
    for (int t = 0; t < CONFIG_T::n_vectors * CONFIG_T::fold_in * CONFIG_T::fold_out; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        x_T x[CONFIG_T::simd];
        #pragma HLS ARRAY_PARTITION variable=x complete
        for (int s = 0; s < CONFIG_T::simd; s++) {
            #pragma HLS UNROLL
            x[s] = vector[in_fold][s];
        }
        if (out_fold == 0) {
            const data_T beat = data.read();
            for (int s = 0; s < CONFIG_T::simd; s++) {
                #pragma HLS UNROLL
                x[s] = lane_of(beat, s);
                vector[in_fold][s] = x[s];
            }
        }
        multiply_accumulate<x_T, CONFIG_T>(x, weights[address], biases[out_fold], in_fold == 0, acc);
        const bool last_in = in_fold == CONFIG_T::fold_in - 1;
        const bool last_out = out_fold == CONFIG_T::fold_out - 1;
        if (last_in)
            res.write(rounded<res_T, CONFIG_T>(acc));
        address = last_in && last_out ? 0 : address + 1;
        in_fold = last_in ? 0 : in_fold + 1;
        out_fold = last_in ? (last_out ? 0 : out_fold + 1) : out_fold;
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void matvec_once(hls::stream<data_T> &data, hls::stream<res_T> &res,
                 const typename CONFIG_T::weight_word weights[CONFIG_T::fold_in],
                 const typename CONFIG_T::bias_word biases[1]) {
    typedef lane_t<data_T> x_T;
    int_t<CONFIG_T::acc_width> acc[CONFIG_T::pe];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    int in_fold = 0;

matvec_once_cycles:
    for (int t = 0; t < CONFIG_T::n_vectors * CONFIG_T::fold_in; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        x_T x[CONFIG_T::simd];
        #pragma HLS ARRAY_PARTITION variable=x complete
        const data_T beat = data.read();
        for (int s = 0; s < CONFIG_T::simd; s++) {
            #pragma HLS UNROLL
            x[s] = lane_of(beat, s);
        }
        multiply_accumulate<x_T, CONFIG_T>(x, weights[in_fold], biases[0], in_fold == 0, acc);
        const bool last_in = in_fold == CONFIG_T::fold_in - 1;
        if (last_in)
            res.write(rounded<res_T, CONFIG_T>(acc));
        in_fold = last_in ? 0 : in_fold + 1;
    }
}

} // namespace ext
} // namespace nnet

#endif
