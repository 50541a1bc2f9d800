#ifndef NNET_EXT_DEPTHWISE_CONV2D_H_
#define NNET_EXT_DEPTHWISE_CONV2D_H_

// Depthwise 2D convolution on a stream of pixels: each channel with a filter of its own.
//
// Folding: ReuseFactor groups of n_chan / ReuseFactor channels; each cycle computes all taps of one group.
//
//   cycles       n_positions - n_outputs + n_outputs * ReuseFactor, plus the depth of the pipeline
//   multipliers  filt_height * filt_width * n_chan / ReuseFactor
//   storage      weights: ROM of ReuseFactor words of filt_height * filt_width * n_chan / ReuseFactor weights
//                line buffer: (filt_height - 1) * in_width pixels; window: 2 * filt_height * filt_width pixels

#include "nnet_sliding_window.h"

namespace nnet {
namespace ext {

template <class data_T, class res_T, typename CONFIG_T>
void depthwise_conv2d(hls::stream<data_T> &data, hls::stream<res_T> &res,
                      typename CONFIG_T::weight_t weights[CONFIG_T::n_weights],
                      typename CONFIG_T::bias_t biases[CONFIG_T::n_chan]) {
    typedef sliding_window<CONFIG_T> slide;
    typedef typename data_T::value_type in_T;
    typedef stored_t<in_T> x_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;

    const int pe = CONFIG_T::n_chan / CONFIG_T::fold_out;
    const int word = slide::n_taps * pe;
    const int product_frac = fixed_traits<in_T>::frac + fixed_traits<typename CONFIG_T::weight_t>::frac;
    const int bias_frac = fixed_traits<typename CONFIG_T::bias_t>::frac;
    const int acc_frac = max_of(product_frac, bias_frac);
    const int n_cycles = slide::n_positions - slide::n_outputs + slide::n_outputs * CONFIG_T::fold_out;

    #pragma HLS ARRAY_RESHAPE variable=weights cyclic factor=word
    #pragma HLS ARRAY_PARTITION variable=biases complete

    x_T line[slide::n_lines][CONFIG_T::in_width][CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=line complete dim=1
    #pragma HLS ARRAY_RESHAPE variable=line complete dim=3
    // A pixel is written where it was read; the next access to that address is a row later.
    const int line_distance = CONFIG_T::in_width;
    #pragma HLS DEPENDENCE variable=line inter RAW distance=line_distance true
    (void)line_distance; // only the pragma uses it
    x_T window[CONFIG_T::filt_height][CONFIG_T::filt_width][CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=window complete dim=0
    x_T patch[slide::n_taps][CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=patch complete dim=0
    res_T pixel_out;

    int pos = 0, col_in = 0; // the pixel that enters the window
    next_output<CONFIG_T> output;
    int group = 0;
    bool emit = false;

depthwise_cycles:
    for (int t = 0; t < n_cycles; t++) {
        #pragma HLS PIPELINE II=1
        if (group == 0) {
            enter_pixel<x_T, CONFIG_T>(data, line, window, pos, col_in);
            emit = output.ready(pos);
            if (emit) {
                for (int k = 0; k < CONFIG_T::filt_height; k++) {
                    #pragma HLS UNROLL
                    for (int j = 0; j < CONFIG_T::filt_width; j++) {
                        #pragma HLS UNROLL
                        const bool inside = slide::inside(output.row, output.col, k, j);
                        for (int c = 0; c < CONFIG_T::n_chan; c++) {
                            #pragma HLS UNROLL
                            patch[k * CONFIG_T::filt_width + j][c] = inside ? window[k][j][c] : x_T(0);
                        }
                    }
                }
            }
            pos++;
            col_in = col_in == CONFIG_T::in_width - 1 ? 0 : col_in + 1;
        }
        if (emit) {
            acc_T acc[pe];
            #pragma HLS ARRAY_PARTITION variable=acc complete
            for (int p = 0; p < pe; p++) {
                #pragma HLS UNROLL
                acc[p] = 0;
            }
        depthwise_taps:
            for (int k = 0; k < slide::n_taps; k++) {
                #pragma HLS UNROLL
                for (int p = 0; p < pe; p++) {
                    #pragma HLS UNROLL
                    acc[p] += multiply<CONFIG_T::acc_width, CONFIG_T::multiplier>::call(
                        patch[k][group * pe + p], to_stored(weights[group * word + k * pe + p]));
                }
            }
            for (int p = 0; p < pe; p++) {
                #pragma HLS UNROLL
                const int c = group * pe + p;
                const acc_T sum =
                    align<acc_T, acc_frac - bias_frac>(to_stored(biases[c])) + align<acc_T, acc_frac - product_frac>(acc[p]);
                pixel_out[c] = requantize<typename res_T::value_type, CONFIG_T::acc_width, acc_frac>(sum);
            }
            if (group < CONFIG_T::fold_out - 1) {
                group++;
            } else {
                group = 0;
                res.write(pixel_out);
                output.advance();
            }
        }
    }
}

} // namespace ext
} // namespace nnet

#endif
