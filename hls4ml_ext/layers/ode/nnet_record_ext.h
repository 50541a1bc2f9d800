#ifndef NNET_RECORD_EXT_H_
#define NNET_RECORD_EXT_H_

// What the layers inside of an ODE block give, for hls4ml_ext.compare: C simulation only, nothing of it is synthesized.
//
// hls4ml's own trace keeps one tensor of a layer for an image; inside of a block a layer runs in every evaluation. Here whoever
// runs the simulation hands over a function that says where the next tensor of a layer goes.
//
//   cycles, multipliers, storage: none in hardware

#ifndef __SYNTHESIS__

#include "nnet_ext.h"

namespace nnet {
namespace ext {

// Room for the next tensor of a layer, as stored integers, or a null pointer.
typedef int64_t *(*recorder_t)(const char *layer);

// The recorder of this thread: images that other threads simulate meanwhile are not recorded.
inline recorder_t &recorder() {
    static thread_local recorder_t current = nullptr;
    return current;
}

// Copies the beats of a stream, which stay in it.
template <class beat_T> void record(hls::stream<beat_T> &stream, const char *layer, int n_beats) {
    int64_t *to = recorder() ? recorder()(layer) : nullptr;
    if (!to)
        return;
    for (int i = 0; i < n_beats; i++) {
        const beat_T beat = stream.read();
        for (unsigned c = 0; c < beat_T::size; c++)
            *to++ = static_cast<int64_t>(to_stored(beat[c]));
        stream.write(beat);
    }
}

} // namespace ext
} // namespace nnet

extern "C" __attribute__((used)) inline void hls4ml_ext_record(nnet::ext::recorder_t recorder) {
    nnet::ext::recorder() = recorder;
}

#endif
#endif
