#ifndef NNET_EXT_DENSE_H_
#define NNET_EXT_DENSE_H_

// Dense layer on a stream of pixels: the flattened (row, column, channel) tensor times a matrix, one output token.
//
// Folding: ReuseFactor = fold_out * fold_in, per pixel: each cycle multiplies n_chan / fold_in inputs with the weights of
// n_out / fold_out outputs.
//
//   cycles       n_pixels * ReuseFactor, plus the depth of the pipeline
//   multipliers  n_chan * n_out / ReuseFactor
//   storage      weights: ROM of n_pixels * ReuseFactor words of n_chan * n_out / ReuseFactor weights
//                n_out accumulators (integer adds, which one clock can close)

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <class data_T, class res_T, typename CONFIG_T>
void dense(hls::stream<data_T> &data, hls::stream<res_T> &res, typename CONFIG_T::weight_t weights[CONFIG_T::n_weights],
           typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
    typedef typename data_T::value_type in_T;
    typedef stored_t<in_T> x_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;

    const int simd = CONFIG_T::n_chan / CONFIG_T::fold_in;
    const int pe = CONFIG_T::n_out / CONFIG_T::fold_out;
    const int word = simd * pe;
    const int product_frac = fixed_traits<in_T>::frac + fixed_traits<typename CONFIG_T::weight_t>::frac;
    const int bias_frac = fixed_traits<typename CONFIG_T::bias_t>::frac;
    const int acc_frac = max_of(product_frac, bias_frac);

    #pragma HLS ARRAY_RESHAPE variable=weights cyclic factor=word
    #pragma HLS ARRAY_PARTITION variable=biases complete

    x_T pixel[CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=pixel complete
    acc_T acc[CONFIG_T::n_out];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    res_T result;

dense_pixels:
    for (int i = 0; i < CONFIG_T::n_pixels; i++) {
    dense_outputs:
        for (int out_fold = 0; out_fold < CONFIG_T::fold_out; out_fold++) {
        dense_inputs:
            for (int in_fold = 0; in_fold < CONFIG_T::fold_in; in_fold++) {
                #pragma HLS PIPELINE II=1
                if (out_fold == 0 && in_fold == 0) {
                    data_T pixel_in = data.read();
                    for (int c = 0; c < CONFIG_T::n_chan; c++) {
                        #pragma HLS UNROLL
                        pixel[c] = to_stored(pixel_in[c]);
                    }
                }
                const int address = (i * CONFIG_T::fold_out + out_fold) * CONFIG_T::fold_in + in_fold;
                for (int p = 0; p < pe; p++) {
                    #pragma HLS UNROLL
                    const int out = out_fold * pe + p;
                    acc_T sum = dot<CONFIG_T::acc_width, simd, CONFIG_T::multiplier>(&pixel[in_fold * simd],
                                                                                     &weights[address * word + p * simd]);
                    acc[out] =
                        (i == 0 && in_fold == 0 ? align<acc_T, acc_frac - bias_frac>(to_stored(biases[out])) : acc[out]) +
                        align<acc_T, acc_frac - product_frac>(sum);
                    if (i == CONFIG_T::n_pixels - 1 && in_fold == CONFIG_T::fold_in - 1)
                        result[out] = requantize<typename res_T::value_type, CONFIG_T::acc_width, acc_frac>(acc[out]);
                }
            }
        }
    }
    res.write(result);
}

} // namespace ext
} // namespace nnet

#endif
