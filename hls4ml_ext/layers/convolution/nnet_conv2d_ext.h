#ifndef NNET_EXT_CONV2D_H_
#define NNET_EXT_CONV2D_H_

// Dense 2D convolution on a stream of pixels; a pointwise convolution is the 1x1 case, and costs no line buffer.
//
// Folding: ReuseFactor = fold_out * fold_in. Each cycle multiplies n_in / fold_in inputs of the window with the weights
// of n_filt / fold_out outputs, n_in = filt_height * filt_width * n_chan.
//
//   cycles       n_positions - n_outputs + n_outputs * ReuseFactor     (stride 1, same: H*W*ReuseFactor + pad_bottom*W
//                + pad_right), plus the depth of the pipeline; no idle cycle between pixels
//   multipliers  n_in * n_filt / ReuseFactor
//   storage      weights: ROM of ReuseFactor words of n_in * n_filt / ReuseFactor weights, one read a cycle
//                line buffer: (filt_height - 1) * in_width pixels; window: 2 * n_in registers
//
// With fold_in = 1 a sum is one adder tree; otherwise an integer accumulator adds fold_in partial sums (a loop-carried
// addition, which one clock can close).

#include "nnet_sliding_window.h"

namespace nnet {
namespace ext {

template <class data_T, class res_T, typename CONFIG_T>
void conv2d(hls::stream<data_T> &data, hls::stream<res_T> &res, typename CONFIG_T::weight_t weights[CONFIG_T::n_weights],
            typename CONFIG_T::bias_t biases[CONFIG_T::n_filt]) {
    typedef sliding_window<CONFIG_T> slide;
    typedef typename data_T::value_type in_T;
    typedef stored_t<in_T> x_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;

    const int n_in = slide::n_taps * CONFIG_T::n_chan;
    const int simd = n_in / CONFIG_T::fold_in;
    const int pe = CONFIG_T::n_filt / CONFIG_T::fold_out;
    const int word = simd * pe;
    const int product_frac = fixed_traits<in_T>::frac + fixed_traits<typename CONFIG_T::weight_t>::frac;
    const int bias_frac = fixed_traits<typename CONFIG_T::bias_t>::frac;
    const int acc_frac = max_of(product_frac, bias_frac);
    const int n_cycles = slide::n_positions - slide::n_outputs + slide::n_outputs * CONFIG_T::fold_in * CONFIG_T::fold_out;

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
    x_T patch[n_in];
    #pragma HLS ARRAY_PARTITION variable=patch complete
    acc_T acc[pe];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    res_T pixel_out;

    int pos = 0, col_in = 0; // the pixel that enters the window
    next_output<CONFIG_T> output;
    int in_fold = 0, out_fold = 0;
    bool emit = false;

conv2d_cycles:
    for (int t = 0; t < n_cycles; t++) {
        #pragma HLS PIPELINE II=1
        if (in_fold == 0 && out_fold == 0) {
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
                            patch[(k * CONFIG_T::filt_width + j) * CONFIG_T::n_chan + c] = inside ? window[k][j][c] : x_T(0);
                        }
                    }
                }
            }
            pos++;
            col_in = col_in == CONFIG_T::in_width - 1 ? 0 : col_in + 1;
        }
        if (emit) {
            const int address = out_fold * CONFIG_T::fold_in + in_fold;
        conv2d_outputs:
            for (int p = 0; p < pe; p++) {
                #pragma HLS UNROLL
                const int out = out_fold * pe + p;
                acc_T sum = dot<CONFIG_T::acc_width, simd, CONFIG_T::multiplier>(&patch[in_fold * simd],
                                                                                 &weights[address * word + p * simd]);
                acc[p] = (in_fold == 0 ? align<acc_T, acc_frac - bias_frac>(to_stored(biases[out])) : acc[p]) +
                         align<acc_T, acc_frac - product_frac>(sum);
                if (in_fold == CONFIG_T::fold_in - 1)
                    pixel_out[out] = requantize<typename res_T::value_type, CONFIG_T::acc_width, acc_frac>(acc[p]);
            }
            if (in_fold < CONFIG_T::fold_in - 1) {
                in_fold++;
            } else {
                in_fold = 0;
                if (out_fold < CONFIG_T::fold_out - 1) {
                    out_fold++;
                } else {
                    out_fold = 0;
                    res.write(pixel_out);
                    output.advance();
                }
            }
        }
    }
}

} // namespace ext
} // namespace nnet

#endif
