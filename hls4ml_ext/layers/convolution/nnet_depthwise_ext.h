#ifndef NNET_DEPTHWISE_EXT_H_
#define NNET_DEPTHWISE_EXT_H_

// The arithmetic of a depthwise convolution, behind a sliding window: each channel with a filter of its own. SIMD taps (all of
// them, or one) of PE channels come in a beat; PE channels go out.
//
//   cycles       n_outputs * (n_taps / SIMD) * (n_chan / PE)
//   multipliers  SIMD * PE
//   storage      weights: ROM of (n_taps / SIMD) * (n_chan / PE) words of SIMD * PE weights; biases: n_chan / PE words of PE
//                PE accumulators (integer adds, which one clock can close)

#include "nnet_matvec_ext.h"
#include "nnet_window_ext.h"

namespace nnet {
namespace ext {

template <class data_T, class res_T, typename CONFIG_T>
void depthwise(hls::stream<data_T> &data, hls::stream<res_T> &res,
               const typename CONFIG_T::weight_word weights[CONFIG_T::fold_in * CONFIG_T::fold_out],
               const typename CONFIG_T::bias_word biases[CONFIG_T::fold_out]) {
    typedef int_t<CONFIG_T::acc_width> acc_T;
    const int lanes = CONFIG_T::simd * CONFIG_T::pe;

    acc_T acc[CONFIG_T::pe];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    int in_fold = 0, out_fold = 0, address = 0; // taps, channels, both

depthwise_cycles:
    for (int t = 0; t < CONFIG_T::n_vectors * CONFIG_T::fold_in * CONFIG_T::fold_out; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const data_T beat = data.read();
        const typename CONFIG_T::weight_word &taps = weights[address];
        const typename CONFIG_T::bias_word &bias_word = biases[out_fold];
        acc_T sum[CONFIG_T::pe];
        #pragma HLS ARRAY_PARTITION variable=sum complete
        for (int p = 0; p < CONFIG_T::pe; p++) {
            #pragma HLS UNROLL
            sum[p] = 0;
        }
    depthwise_taps:
        for (int s = 0; s < CONFIG_T::simd; s++) {
            #pragma HLS UNROLL
            for (int p = 0; p < CONFIG_T::pe; p++) {
                #pragma HLS UNROLL
                sum[p] += multiply<CONFIG_T::acc_width, CONFIG_T::multiplier>::call(
                    lane_of(beat, s * CONFIG_T::pe + p),
                    rom_lane<lanes, CONFIG_T::weight_width, CONFIG_T::weight_signed>(taps, s * CONFIG_T::pe + p));
            }
        }
        for (int p = 0; p < CONFIG_T::pe; p++) {
            #pragma HLS UNROLL
            const acc_T bias = rom_lane<CONFIG_T::pe, CONFIG_T::bias_width, CONFIG_T::bias_signed>(bias_word, p);
            acc[p] = (in_fold == 0 ? align<acc_T, CONFIG_T::bias_shift>(bias) : acc[p]) +
                     align<acc_T, CONFIG_T::product_shift>(sum[p]);
        }
        const bool last_in = in_fold == CONFIG_T::fold_in - 1;
        const bool last_out = out_fold == CONFIG_T::fold_out - 1;
        if (last_in)
            res.write(rounded<res_T, CONFIG_T>(acc));
        address = last_in && last_out ? 0 : address + 1;
        in_fold = last_in ? 0 : in_fold + 1;
        out_fold = last_in ? (last_out ? 0 : out_fold + 1) : out_fold;
    }
}

} // namespace ext
} // namespace nnet

#endif
