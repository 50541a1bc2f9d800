#ifndef NNET_EXT_ADD_H_
#define NNET_EXT_ADD_H_

// Elementwise sum of two streams of beats, rounded once, by the type of the result.
//
//   cycles n_beats; one adder a lane; no storage (the FIFO that waits for the slower branch belongs to the graph)

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <class data1_T, class data2_T, class res_T, typename CONFIG_T>
void add(hls::stream<data1_T> &data1, hls::stream<data2_T> &data2, hls::stream<res_T> &res) {
    typedef int_t<CONFIG_T::acc_width> acc_T;
    const int frac1 = fixed_traits<typename data1_T::value_type>::frac;
    const int frac2 = fixed_traits<typename data2_T::value_type>::frac;
    const int acc_frac = max_of(frac1, frac2);

add_beats:
    for (int i = 0; i < CONFIG_T::n_beats; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        data1_T beat1 = data1.read();
        data2_T beat2 = data2.read();
        res_T beat_out;
        for (unsigned c = 0; c < res_T::size; c++) {
            #pragma HLS UNROLL
            const acc_T sum =
                align<acc_T, acc_frac - frac1>(to_stored(beat1[c])) + align<acc_T, acc_frac - frac2>(to_stored(beat2[c]));
            beat_out[c] = requantize<typename res_T::value_type, CONFIG_T::acc_width, acc_frac>(sum);
        }
        res.write(beat_out);
    }
}

} // namespace ext
} // namespace nnet

#endif
